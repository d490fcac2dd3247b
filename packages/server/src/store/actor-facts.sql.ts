/** One row with everything an operation decides on before it does anything: the scope, the caller's source, its binding. */
import type { MetadataNames } from './metadata.sql.ts';

/** RFC 3339 in UTC, as every instant is sent. */
export function formatInstantSql(expression: string): string {
  return `pg_catalog.to_char(${expression} AT TIME ZONE 'UTC','YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
}

/** How a statement names the ids of its actor: as parameters, or as literals inside a script of several statements. */
export interface ActorIdSql {
  readonly scopeId: string;
  readonly sourceId: string;
}

const ACTOR_PARAMETERS: ActorIdSql = { scopeId: '$1', sourceId: '$2' };

/** No row: the scope is unknown. Columns in the order that `readActorFacts` takes. */
export function selectActorFacts(m: MetadataNames, ids: ActorIdSql = ACTOR_PARAMETERS): string {
  return `
SELECT s.scope_pk, s.state, s.lease_source_id, s.initialization_id,
  s.lease_expires_at > now(),
  ${formatInstantSql('s.lease_expires_at')},
  GREATEST(1, floor(extract(epoch FROM s.lease_expires_at - now())))::int8,
  s.head, s.floor,
  c.state, c.kind, c.watermark, c.replaced_by_source_id, b.user_id
FROM ${m.scope} s
LEFT JOIN ${m.source} c ON c.scope_pk = s.scope_pk AND c.source_id = ${ids.sourceId}
LEFT JOIN ${m.sourceBinding} b ON b.scope_pk = s.scope_pk AND b.source_id = ${ids.sourceId}
WHERE s.scope_id = ${ids.scopeId}`;
}

/** The same under the scope's row lock: a commit of the scope waits, readers do not. */
export function lockActorFacts(m: MetadataNames): string {
  return `${selectActorFacts(m)}
FOR NO KEY UPDATE OF s`;
}

/** `$1` scope id. Takes a number only when the scope is new, so that conflicts do not use up the sequence. */
export function insertScopeIfAbsent(m: MetadataNames): string {
  return `
INSERT INTO ${m.scope} (scope_pk, scope_id, state)
SELECT nextval('${m.scopePkSequence}'), $1, 'uninitialized'
WHERE NOT EXISTS (SELECT FROM ${m.scope} WHERE scope_id = $1)
ON CONFLICT (scope_id) DO NOTHING`;
}

/** `$1` scope_pk, `$2` source id, `$3` user id. A binding is made once and never changed. */
export function insertSourceBinding(m: MetadataNames): string {
  return `
INSERT INTO ${m.sourceBinding} (scope_pk, source_id, user_id) VALUES ($1, $2, $3)
ON CONFLICT (scope_pk, source_id) DO NOTHING`;
}
