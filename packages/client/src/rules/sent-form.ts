import type { LocalTable } from './local-schema.ts';

/**
 * Spells a committed payload as this client would have sent it: a server writes boolean columns as `true` and `false`, which are 1 and 0
 * here. Only for recognising rows that came back unchanged.
 */
export class SentForm {
  readonly #labels: readonly string[];

  constructor(table: LocalTable) {
    // Inside a nested value a name may stand twice.
    const hasNested = table.columns.some((column) => column.isJson);
    const columns = hasNested ? [] : table.columns.filter((column) => column.kind === 'integer');
    this.#labels = columns.map((column) => `${JSON.stringify(column.wireName)}:`);
  }

  /** A name between quotes that ends in a colon can only be a member: inside a string the quotes are escaped. */
  of(payload: string): string {
    let text = payload;
    for (const label of this.#labels) {
      const at = text.indexOf(label);
      const start = at + label.length;
      if (at < 0) continue;
      if (text.startsWith('true', start)) text = `${text.slice(0, start)}"1"${text.slice(start + 4)}`;
      else if (text.startsWith('false', start)) text = `${text.slice(0, start)}"0"${text.slice(start + 5)}`;
    }
    return text;
  }
}
