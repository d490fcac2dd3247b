/** How the values of a column are captured and sent (client.md 4.2). */
export type ColumnKind = 'uuidBlob' | 'blob' | 'real' | 'integer' | 'text';

/** The kind of a declared type; the first match wins. `isIdentity` = the column is the key or part of a foreign key. */
export function columnKind(declaredType: string, isIdentity: boolean): ColumnKind {
  const type = declaredType.toLowerCase();
  if (type.includes('blob')) return isIdentity ? 'uuidBlob' : 'blob';
  if (type.includes('real') || type.includes('float') || type.includes('double')) return 'real';
  if (type.includes('int') || type.includes('bool')) return 'integer';
  return 'text';
}

/** True for a declared type that says boolean, and nothing else that would decide its kind. */
export function isBooleanType(declaredType: string): boolean {
  return declaredType.toLowerCase().includes('bool');
}
