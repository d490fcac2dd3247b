/** A name of the application inside SQL text. The only way such a name gets there. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A string literal inside trigger text, where parameters are not possible. */
export function quoteLiteral(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** The JSON path of one member, quoted so that any column name works, as an SQL literal. */
export function memberPath(name: string): string {
  return quoteLiteral(`$."${name}"`);
}
