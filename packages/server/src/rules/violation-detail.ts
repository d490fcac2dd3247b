/** Columns and values of the key that a constraint complains about. */
export interface KeyDetail {
  readonly columns: readonly string[];
  /** Values as PostgreSQL prints them, joined by `, `; NULL is `null`. */
  readonly values: string;
}

const COLUMN = '(?:"(?:[^"]|"")+"|[^"(),\\s]+)';
const COLUMN_LIST = `${COLUMN}(?:, ${COLUMN})*`;
const KEY = new RegExp(`\\((${COLUMN_LIST})\\)=\\(([\\s\\S]*)\\)`);

/**
 * Reads `(a, b)=(1, 2)` out of the detail of a unique, exclusion or foreign-key fault. Only this part is the same in every
 * language of the server; the words around it are translated. `null` for expressions and for details without a key.
 */
export function parseKeyDetail(detail: string | undefined): KeyDetail | null {
  const match = KEY.exec(detail ?? '');
  const [, names, values] = match ?? [];
  if (names === undefined || values === undefined) return null;
  return { columns: (names.match(new RegExp(COLUMN, 'g')) ?? []).map(unquote), values: cutSecondKey(values) };
}

function unquote(name: string): string {
  return name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name;
}

/** An exclusion fault names the existing key too: `(a)=(1) conflicts with existing key (a)=(2)`. */
function cutSecondKey(values: string): string {
  const second = values.search(/\) [^()]*\((?:"(?:[^"]|"")+"|[^"(),\s]+)(?:, [^()]*)?\)=\(/);
  return second < 0 ? values : values.slice(0, second);
}
