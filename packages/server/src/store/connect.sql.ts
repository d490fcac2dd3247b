import { formatInstantSql } from './actor-facts.sql.ts';
import type { MetadataNames } from './metadata.sql.ts';

/** `$1` scope_pk, `$2` source id, `$3` initialization id, `$4` lease in milliseconds. Returns the end of the lease. */
export function saveLease(m: MetadataNames): string {
  return `
UPDATE ${m.scope} SET state = 'initializing', lease_source_id = $2, initialization_id = $3,
  lease_expires_at = now() + $4::int8 * interval '1 millisecond'
WHERE scope_pk = $1
RETURNING ${formatInstantSql('lease_expires_at')}`;
}

/** `$1` scope_pk. */
export function saveInitialized(m: MetadataNames): string {
  return `
UPDATE ${m.scope} SET state = 'initialized', lease_source_id = NULL, initialization_id = NULL, lease_expires_at = NULL
WHERE scope_pk = $1`;
}
