import type { MetadataNames } from './metadata.sql.ts';

/** `$1` numbers of the watched scopes. */
export function selectHeads(m: MetadataNames): string {
  return `SELECT scope_pk, head FROM ${m.scope} WHERE scope_pk = ANY ($1::int8[])`;
}
