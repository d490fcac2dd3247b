/**
 * Statements about push sessions. They carry their own values, so that several of them travel in one round trip.
 */
import type { PgStatement } from '../ports/postgres.ts';
import { bindStatement } from '../rules/bound-statement.ts';
import type { Bind } from '../rules/bound-statement.ts';
import { formatInstantSql, selectActorFacts } from './actor-facts.sql.ts';
import { scopePkSetting } from './capture.sql.ts';
import type { MetadataNames } from './metadata.sql.ts';
import { scopePkOf } from './push-row.sql.ts';
import type { PushRef } from './push-row.sql.ts';

/**
 * Waits for writers of the scope; what the following statements of the same script read is newer than all of them. Completes the
 * bundle context of a commit on the way, and tells its transaction id, by which its outcome can be found out.
 */
export function lockScope(m: MetadataNames, scopeId: string): PgStatement {
  return bindStatement(
    (bind) =>
      `SELECT ${scopePkSetting('sc.scope_pk')},pg_current_xact_id() FROM ${m.scope} sc WHERE sc.scope_id=${bind('text', scopeId)} FOR NO KEY UPDATE OF sc`,
  );
}

/** Locks the scope only for the seed of the scope; lock order is scope, then session, everywhere. */
export function lockScopeOfSeed(m: MetadataNames, scopeId: string, pushId: string): PgStatement {
  return bindStatement(
    (bind) =>
      `SELECT FROM ${m.scope} sc WHERE sc.scope_id=${bind('text', scopeId)} AND EXISTS (SELECT FROM ${m.pushSession} ps ` +
      `WHERE ps.scope_pk=sc.scope_pk AND ps.push_id=${bind('uuid', pushId)} AND ps.initialization_id IS NOT NULL) FOR NO KEY UPDATE OF sc`,
  );
}

/** Who pushes. */
export interface PushActor {
  readonly scopeId: string;
  readonly sourceId: string;
}

/** {@link selectActorFacts} with its values. */
export function selectPushActor(m: MetadataNames, actor: PushActor): PgStatement {
  return bindStatement((bind) =>
    selectActorFacts(m, { scopeId: bind('text', actor.scopeId), sourceId: bind('text', actor.sourceId) }),
  );
}

/** One push session; `lock` makes chunks, commit and delete of the session follow each other. Read by `parsePushSession`. */
export function selectSession(m: MetadataNames, scopeId: string, pushId: string, lock: boolean): PgStatement {
  return bindStatement(
    (bind) =>
      'SELECT ps.source_id,ps.source_bundle_id,ps.planned_row_count,ps.canonical_request_hash,ps.initialization_id,ps.next_row_ordinal,' +
      `ps.staged_bytes,ps.row_layout,ps.expires_at<=now(),${formatInstantSql('ps.expires_at')} FROM ${m.pushSession} ps ` +
      `WHERE ps.scope_pk=${scopePkOf(m, bind, scopeId)} ` +
      `AND ps.push_id=${bind('uuid', pushId)}${lock ? ' FOR NO KEY UPDATE OF ps' : ''}`,
  );
}

/** The bundle that was committed under a tuple and is still retained. */
export function selectCommittedTuple(m: MetadataNames, actor: PushActor, sourceBundleId: bigint): PgStatement {
  return bindStatement(
    (bind) =>
      `SELECT bu.bundle_seq,bu.row_count,bu.bundle_hash,bu.canonical_request_hash,bu.canonical_bytes FROM ${m.scope} sc JOIN ${m.bundle} bu ` +
      `ON bu.scope_pk=sc.scope_pk AND bu.source_id=${bind('text', actor.sourceId)} AND bu.source_bundle_id=${bind('int8', sourceBundleId)} ` +
      `AND bu.bundle_seq>sc.floor WHERE sc.scope_id=${bind('text', actor.scopeId)}`,
  );
}

/** Live sessions of the other sources of the scope. */
export function countOtherSessions(m: MetadataNames, actor: PushActor): PgStatement {
  return bindStatement(
    (bind) =>
      `SELECT count(*) FROM ${m.scope} sc JOIN ${m.pushSession} ps ON ps.scope_pk=sc.scope_pk AND ps.source_id<>${bind('text', actor.sourceId)} ` +
      `AND ps.expires_at>now() WHERE sc.scope_id=${bind('text', actor.scopeId)}`,
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

export function insertSession(m: MetadataNames, session: NewPushSession): PgStatement {
  return bindStatement(
    (bind) =>
      `INSERT INTO ${m.pushSession} (scope_pk,push_id,source_id,source_bundle_id,planned_row_count,canonical_request_hash,initialization_id,expires_at) ` +
      `VALUES (${bind('int8', session.scopePk)},${bind('uuid', session.pushId)},${bind('text', session.sourceId)},${bind('int8', session.sourceBundleId)},` +
      `${bind('int4', session.plannedRowCount)},${bind('text', session.canonicalRequestHash)},${bind('uuid', session.initializationId)},${expiry(session.ttlMs)})`,
  );
}

function expiry(ttlMs: number): string {
  return `clock_timestamp()+interval '${ttlMs} milliseconds'`;
}

/** Discards whatever session the source has open, with its staged rows. */
export function deleteSessionsOfSource(m: MetadataNames, scopePk: string, sourceId: string): readonly PgStatement[] {
  const session = (bind: Bind): string => `ps.scope_pk=${bind('int8', scopePk)} AND ps.source_id=${bind('text', sourceId)}`;
  return [
    bindStatement(
      (bind) =>
        `DELETE FROM ${m.pushRow} p USING ${m.pushSession} ps WHERE ${session(bind)} AND p.scope_pk=ps.scope_pk AND p.push_id=ps.push_id`,
    ),
    bindStatement((bind) => `DELETE FROM ${m.pushSession} ps WHERE ${session(bind)}`),
  ];
}

/** Which rows of a table with these columns belong to a push. */
function ofPush(bind: Bind, push: PushRef): string {
  return `scope_pk=${bind('int8', push.scopePk)} AND push_id=${bind('uuid', push.pushId)}`;
}

export function deleteSession(m: MetadataNames, push: PushRef): readonly PgStatement[] {
  return [m.pushRow, m.pushSession].map((table) => bindStatement((bind) => `DELETE FROM ${table} WHERE ${ofPush(bind, push)}`));
}

/** A chunk has been staged: the session lives on for its whole TTL. */
export function advanceSession(
  m: MetadataNames,
  session: { readonly scopePk: string; readonly pushId: string },
  progress: { readonly nextRowOrdinal: number; readonly stagedBytes: bigint; readonly rowLayout: string; readonly ttlMs: number },
): PgStatement {
  return bindStatement(
    (bind) =>
      `UPDATE ${m.pushSession} SET next_row_ordinal=${bind('int4', progress.nextRowOrdinal)},staged_bytes=${bind('int8', progress.stagedBytes)},` +
      `row_layout=${bind('text', progress.rowLayout)},expires_at=${expiry(progress.ttlMs)} WHERE ${ofPush(bind, session)}`,
  );
}

/** A re-sent chunk changes nothing but proves that the client is alive. */
export function renewSession(
  m: MetadataNames,
  session: { readonly scopePk: string; readonly pushId: string },
  ttlMs: number,
): PgStatement {
  return bindStatement((bind) => `UPDATE ${m.pushSession} SET expires_at=${expiry(ttlMs)} WHERE ${ofPush(bind, session)}`);
}

/** Only the owner of the live lease gets here, under the scope lock. */
export function renewLease(m: MetadataNames, scopePk: string, ttlMs: number): PgStatement {
  return bindStatement(
    (bind) =>
      `UPDATE ${m.scope} SET lease_expires_at=${expiry(ttlMs)} WHERE scope_pk=${bind('int8', scopePk)} AND state='initializing'`,
  );
}
