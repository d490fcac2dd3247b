/**
 * Statements about push sessions. They carry their parameters as literals, so that several of them travel in one round trip;
 * every text goes through `quoteLiteral`.
 */
import { quoteLiteral } from '../rules/sql-text.ts';
import { formatInstantSql, selectActorFacts } from './actor-facts.sql.ts';
import { scopePkSetting } from './capture.sql.ts';
import type { MetadataNames } from './metadata.sql.ts';
import type { PushRef } from './push-row.sql.ts';

/**
 * Waits for writers of the scope; what the following statements of the same script read is newer than all of them. Completes the
 * bundle context of a commit on the way, and tells its transaction id, by which its outcome can be found out.
 */
export function lockScope(m: MetadataNames, scopeId: string): string {
  return `SELECT ${scopePkSetting('sc.scope_pk')},pg_current_xact_id() FROM ${m.scope} sc WHERE sc.scope_id=${quoteLiteral(scopeId)} FOR NO KEY UPDATE OF sc`;
}

/** Locks the scope only for the seed of the scope; lock order is scope, then session, everywhere. */
export function lockScopeOfSeed(m: MetadataNames, scopeId: string, pushId: string): string {
  return (
    `SELECT FROM ${m.scope} sc WHERE sc.scope_id=${quoteLiteral(scopeId)} AND EXISTS (SELECT FROM ${m.pushSession} ps ` +
    `WHERE ps.scope_pk=sc.scope_pk AND ps.push_id=${quoteLiteral(pushId)} AND ps.initialization_id IS NOT NULL) FOR NO KEY UPDATE OF sc`
  );
}

/** Who pushes. */
export interface PushActor {
  readonly scopeId: string;
  readonly sourceId: string;
}

/** {@link selectActorFacts} with literals. */
export function selectPushActor(m: MetadataNames, actor: PushActor): string {
  return selectActorFacts(m, { scopeId: quoteLiteral(actor.scopeId), sourceId: quoteLiteral(actor.sourceId) });
}

/** One push session; `lock` makes chunks, commit and delete of the session follow each other. Read by `parsePushSession`. */
export function selectSession(m: MetadataNames, scopeId: string, pushId: string, lock: boolean): string {
  return (
    'SELECT ps.source_id,ps.source_bundle_id,ps.planned_row_count,ps.canonical_request_hash,ps.initialization_id,ps.next_row_ordinal,' +
    `ps.staged_bytes,ps.row_layout,ps.expires_at<=now(),${formatInstantSql('ps.expires_at')} FROM ${m.pushSession} ps ` +
    `WHERE ps.scope_pk=(SELECT sc.scope_pk FROM ${m.scope} sc WHERE sc.scope_id=${quoteLiteral(scopeId)}) ` +
    `AND ps.push_id=${quoteLiteral(pushId)}${lock ? ' FOR NO KEY UPDATE OF ps' : ''}`
  );
}

/** The bundle that was committed under a tuple and is still retained. */
export function selectCommittedTuple(m: MetadataNames, actor: PushActor, sourceBundleId: bigint): string {
  return (
    `SELECT bu.bundle_seq,bu.row_count,bu.bundle_hash,bu.canonical_request_hash FROM ${m.scope} sc JOIN ${m.bundle} bu ` +
    `ON bu.scope_pk=sc.scope_pk AND bu.source_id=${quoteLiteral(actor.sourceId)} AND bu.source_bundle_id=${sourceBundleId} ` +
    `AND bu.bundle_seq>sc.floor WHERE sc.scope_id=${quoteLiteral(actor.scopeId)}`
  );
}

/** Live sessions of the other sources of the scope. */
export function countOtherSessions(m: MetadataNames, actor: PushActor): string {
  return (
    `SELECT count(*) FROM ${m.scope} sc JOIN ${m.pushSession} ps ON ps.scope_pk=sc.scope_pk AND ps.source_id<>${quoteLiteral(actor.sourceId)} ` +
    `AND ps.expires_at>now() WHERE sc.scope_id=${quoteLiteral(actor.scopeId)}`
  );
}

export interface NewPushSession {
  readonly scopePk: string;
  readonly pushId: string;
  readonly sourceId: string;
  readonly sourceBundleId: bigint;
  readonly plannedRowCount: number;
  readonly canonicalRequestHash: string;
  readonly initializationId: string | null;
  readonly ttlMs: number;
}

export function insertSession(m: MetadataNames, session: NewPushSession): string {
  const initializationId = session.initializationId === null ? 'NULL' : quoteLiteral(session.initializationId);
  return (
    `INSERT INTO ${m.pushSession} (scope_pk,push_id,source_id,source_bundle_id,planned_row_count,canonical_request_hash,initialization_id,expires_at) ` +
    `VALUES (${session.scopePk},${quoteLiteral(session.pushId)},${quoteLiteral(session.sourceId)},${session.sourceBundleId},` +
    `${session.plannedRowCount},${quoteLiteral(session.canonicalRequestHash)},${initializationId},${expiry(session.ttlMs)})`
  );
}

function expiry(ttlMs: number): string {
  return `clock_timestamp()+interval '${ttlMs} milliseconds'`;
}

/** Discards whatever session the source has open, with its staged rows. */
export function deleteSessionsOfSource(m: MetadataNames, scopePk: string, sourceId: string): readonly string[] {
  const session = `ps.scope_pk=${scopePk} AND ps.source_id=${quoteLiteral(sourceId)}`;
  return [
    `DELETE FROM ${m.pushRow} p USING ${m.pushSession} ps WHERE ${session} AND p.scope_pk=${scopePk} AND p.push_id=ps.push_id`,
    `DELETE FROM ${m.pushSession} ps WHERE ${session}`,
  ];
}

function deleteStagedRows(m: MetadataNames, push: PushRef): string {
  return `DELETE FROM ${m.pushRow} WHERE scope_pk=${push.scopePk} AND push_id=${quoteLiteral(push.pushId)}`;
}

export function deleteSession(m: MetadataNames, push: PushRef): readonly string[] {
  return [
    deleteStagedRows(m, push),
    `DELETE FROM ${m.pushSession} WHERE scope_pk=${push.scopePk} AND push_id=${quoteLiteral(push.pushId)}`,
  ];
}

/** A chunk has been staged: the session lives on for its whole TTL. */
export function advanceSession(
  m: MetadataNames,
  session: { readonly scopePk: string; readonly pushId: string },
  progress: { readonly nextRowOrdinal: number; readonly stagedBytes: bigint; readonly rowLayout: string; readonly ttlMs: number },
): string {
  return (
    `UPDATE ${m.pushSession} SET next_row_ordinal=${progress.nextRowOrdinal},staged_bytes=${progress.stagedBytes},` +
    `row_layout=${quoteLiteral(progress.rowLayout)},expires_at=${expiry(progress.ttlMs)} ` +
    `WHERE scope_pk=${session.scopePk} AND push_id=${quoteLiteral(session.pushId)}`
  );
}

/** A re-sent chunk changes nothing but proves that the client is alive. */
export function renewSession(
  m: MetadataNames,
  session: { readonly scopePk: string; readonly pushId: string },
  ttlMs: number,
): string {
  return `UPDATE ${m.pushSession} SET expires_at=${expiry(ttlMs)} WHERE scope_pk=${session.scopePk} AND push_id=${quoteLiteral(session.pushId)}`;
}

/** Only the owner of the live lease gets here, under the scope lock. */
export function renewLease(m: MetadataNames, scopePk: string, ttlMs: number): string {
  return `UPDATE ${m.scope} SET lease_expires_at=${expiry(ttlMs)} WHERE scope_pk=${scopePk} AND state='initializing'`;
}
