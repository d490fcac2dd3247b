import type { LocalTable } from './local-schema.ts';

interface Label {
  /** The member name in front of a value. */
  readonly text: string;
  isBoolean: boolean;
}

/**
 * Spells an uploaded payload as the server is going to serve it, provided it changes nothing: a column that is boolean there comes back as
 * `true` or `false`, where `"1"` or `"0"` was sent. Which columns are, the declared type says until a served row has shown it. Only a guess
 * to be hashed; no value is ever taken from it.
 */
export class ServedForm {
  /** Numbers inside nested JSON are hashed as binary64, so that a hash would not prove their digits. */
  readonly isProvable: boolean;
  readonly #labels: readonly Label[];

  constructor(table: LocalTable) {
    this.isProvable = !table.columns.some((column) => column.isJson);
    const columns = table.columns.filter((column) => column.kind === 'integer');
    this.#labels = columns.map(({ wireName, isBoolean }) => ({ text: `${JSON.stringify(wireName)}:`, isBoolean }));
  }

  /** A name between quotes that ends in a colon can only be a member: inside a string the quotes are escaped. */
  of(payload: string): string {
    let text = payload;
    for (const label of this.#labels) {
      if (!label.isBoolean) continue;
      const at = text.indexOf(label.text);
      const start = at + label.text.length;
      if (at < 0) continue;
      if (text.startsWith('"1"', start)) text = `${text.slice(0, start)}true${text.slice(start + 3)}`;
      else if (text.startsWith('"0"', start)) text = `${text.slice(0, start)}false${text.slice(start + 3)}`;
    }
    return text;
  }

  /** Looks at a payload as it was served, and returns whether it was spelled in another way than was thought. */
  learn(served: string): boolean {
    if (!this.isProvable) return false;
    let hasChanged = false;
    for (const label of this.#labels) {
      const at = served.indexOf(label.text);
      const start = at + label.text.length;
      const isBoolean = served.startsWith('true', start) || served.startsWith('false', start);
      if (at < 0 || isBoolean === label.isBoolean || (!isBoolean && !served.startsWith('"', start))) continue;
      label.isBoolean = isBoolean;
      hasChanged = true;
    }
    return hasChanged;
  }
}
