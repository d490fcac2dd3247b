/** Rows of one INSERT when many are written: a statement per row costs a quarter more. */
export const GROUP_ROWS = 100;

/** The one row of places of an INSERT. */
const PLACES = /\bVALUES (\((?:\?(?:, )?)+\))/g;

const groupedInserts = new Map<string, string | null>();

/** The same INSERT for `GROUP_ROWS` rows; `null` when the statement is no such INSERT. */
export function groupedInsert(sql: string): string | null {
  const known = groupedInserts.get(sql);
  if (known !== undefined) return known;
  const matches = [...sql.matchAll(PLACES)];
  const places = matches[0]?.[1];
  const isPlain = matches.length === 1 && places !== undefined && sql.trimStart().startsWith('INSERT');
  const grouped = isPlain
    ? sql.replace(PLACES, () => `VALUES ${Array.from({ length: GROUP_ROWS }, () => places).join(', ')}`)
    : null;
  groupedInserts.set(sql, grouped);
  return grouped;
}
