/** The one way a name gets into SQL text. Names come from the catalog or from checked options, never from a request. */
export function quoteIdentifier(name: string): string {
  assertNoNul(name);
  return `"${name.replaceAll('"', '""')}"`;
}

/** `"schema"."table"`. */
export function quoteQualified(schema: string, name: string): string {
  return `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`;
}

/** A text constant; valid only with `standard_conforming_strings` on, which every transaction pins. */
export function quoteLiteral(text: string): string {
  assertNoNul(text);
  return `'${text.replaceAll("'", "''")}'`;
}

function assertNoNul(text: string): void {
  if (text.includes('\0')) throw new TypeError('U+0000 cannot be part of SQL text');
}
