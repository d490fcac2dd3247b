import { isCanonicalBase64, isUuidKey } from '@oversync/protocol';

import type { ColumnText } from '../rules/incoming-row.ts';
import type { LocalColumn, LocalTable } from '../rules/local-schema.ts';
import type { RowTemplate } from './row-text.ts';
import { isCanonicalFloat, isPlainDecimal } from './value-scan.ts';

/*
 * One regular expression for all rows of one spelling. It finds where the values are and refuses everything that needs a closer look,
 * several times as fast as code that goes from value to value. As with the scan of single values, it may say "look closer" to a row that
 * is fine, never "fine" to one that the exact checks refuse.
 */

/** A row that matched. */
export interface MatchedRow {
  /** What stands between the quotes of the key. */
  readonly key: string;
  readonly version: string;
  readonly end: number;
  /** In table order. */
  readonly values: readonly ColumnText[];
}

interface PatternColumn {
  /** Group of what stands between the quotes, unless it has escapes; the next group has what is no such text. */
  readonly group: number;
  readonly column: LocalColumn;
}

/** Escapes in one text: each costs the engine of regular expressions some bytes while it matches. */
const ESCAPES_MAX = 1000;
const PLAIN = String.raw`[^"\\\u0000-\u001f]`;
/** Surrogates have to be in pairs, and no text may hold U+0000. */
const ESCAPE = String.raw`\\(?:["\\/bfnrt]|u(?!0000)(?![dD][89a-fA-F])[0-9a-fA-F]{4})`;
const TEXT = `"(${PLAIN}*)"|("${PLAIN}*(?:${ESCAPE}${PLAIN}*){1,${ESCAPES_MAX}}")|null`;
const VERSION = '([1-9][0-9]{0,14})';

/** Of values that are compared with nothing but their column. */
const VALUES: Readonly<Record<LocalColumn['kind'], string>> = {
  text: TEXT,
  integer: '"(-?[1-9][0-9]{0,17}|0)"|(true|false)|null',
  real: '"(-?[0-9][0-9.eE+-]*)"|((?!))|null',
  blob: '"([A-Za-z0-9+/=]*)"|((?!))|null',
  uuidBlob: '"([0-9a-f-]{36})"|((?!))|null',
};

/** Rows of one table and operation that are spelled alike. */
export class RowPattern {
  readonly #pattern: RegExp;
  readonly #columns: readonly PatternColumn[];

  private constructor(pattern: RegExp, columns: readonly PatternColumn[]) {
    this.#pattern = pattern;
    this.#columns = columns;
  }

  /** The pattern of rows like the one of the template; `null` where they have members that may be nested. */
  static of(table: LocalTable, template: RowTemplate): RowPattern | null {
    const byName = new Map(table.columns.map((column) => [column.wireName, column]));
    const columns: PatternColumn[] = [];
    const parts: string[] = [];
    for (const name of template.names) {
      const column = byName.get(name);
      if (column === undefined || column.isJson) return null;
      columns.push({ group: FIRST_GROUP + columns.length * 2, column });
      parts.push(`${literal(JSON.stringify(name))}:(?:${column === table.key ? '"(\\1)"|((?!))' : VALUES[column.kind]})`);
    }
    const { head, middle, tail } = template;
    const source = `${literal(head)}"(${PLAIN}+)"${literal(middle)}${VERSION}${literal(tail)}\\{${parts.join(',')}\\}\\}`;
    const inOrder = table.columns.flatMap((column) => columns.filter((each) => each.column === column));
    return inOrder.length === table.columns.length ? new RowPattern(new RegExp(source, 'y'), inOrder) : null;
  }

  /** The row that starts at `start`, `null` unless it is certainly one that the table takes. */
  match(text: string, start: number): MatchedRow | null {
    this.#pattern.lastIndex = start;
    const groups = this.#pattern.exec(text);
    if (groups === null) return null;
    const values: ColumnText[] = [];
    for (const { group, column } of this.#columns) {
      const plain = groups[group];
      if (plain === undefined) values.push(otherValue(column, groups[group + 1]));
      else if (isValue(column, plain)) values.push(plain);
      else return null;
    }
    return { key: groups[1] ?? '', version: groups[2] ?? '', end: this.#pattern.lastIndex, values };
  }
}

/** Groups 1 and 2 are key and version. */
const FIRST_GROUP = 3;

function isValue(column: LocalColumn, text: string): boolean {
  switch (column.kind) {
    case 'text':
    case 'integer':
      return true;
    case 'real':
      return isPlainDecimal(text, 0, text.length) || isCanonicalFloat(text);
    case 'blob':
      return isCanonicalBase64(text);
    case 'uuidBlob':
      return isUuidKey(text);
  }
}

/** A text with escapes, a literal, or NULL. */
function otherValue(column: LocalColumn, text: string | undefined): ColumnText {
  if (text === undefined) return null;
  return column.kind === 'text' ? String(JSON.parse(text)) : text;
}

function literal(text: string): string {
  return text.replaceAll(/[$()*+.?[\\\]^{|}/]/g, String.raw`\$&`);
}
