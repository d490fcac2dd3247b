import type { PgRow, PgTransaction } from '../ports/postgres.ts';
import { bindStatement } from '../rules/bound-statement.ts';
import type { ScopeLineage } from '../rules/lineage-scope.ts';
import type { SourceKind, SourceLineage } from '../rules/lineage-source.ts';
import { insertScopeIfAbsent, insertSourceBinding, lockActorFacts, selectActorFacts } from './actor-facts.sql.ts';
import type { MetadataNames } from './metadata.sql.ts';
import { runStatements } from './run-statements.ts';

/** The scope as this transaction sees it. */
export interface ScopeFacts {
  readonly scopePk: string;
  readonly lineage: ScopeLineage;
  readonly head: bigint;
  readonly floor: bigint;
  /** Present exactly while a lease is stored, live or not. */
  readonly lease: { readonly expiresAt: string; readonly remainingSeconds: bigint } | undefined;
}

export interface ActorFacts {
  /** `undefined`: nobody has used this scope id yet. */
  readonly scope: ScopeFacts | undefined;
  readonly source: SourceLineage;
  readonly boundUserId: string | undefined;
}

interface ActorIds {
  readonly scopeId: string;
  readonly sourceId: string;
}

/** Reads without any lock, in the round trip of BEGIN if it is the first thing that a transaction does. */
export async function loadActorFacts(tx: PgTransaction, m: MetadataNames, actor: ActorIds): Promise<ActorFacts> {
  const statement = bindStatement((bind) =>
    selectActorFacts(m, { scopeId: bind('text', actor.scopeId), sourceId: bind('text', actor.sourceId) }),
  );
  const [facts] = await runStatements(tx, [statement]);
  return readActorFacts(facts?.rows[0]);
}

/** Makes the scope if it is new, then reads it under its row lock. */
export async function lockActorScope(
  tx: PgTransaction,
  m: MetadataNames,
  actor: ActorIds,
): Promise<ActorFacts & { readonly scope: ScopeFacts }> {
  await tx.query(insertScopeIfAbsent(m), [actor.scopeId]);
  const { rows } = await tx.query(lockActorFacts(m), [actor.scopeId, actor.sourceId]);
  const facts = readActorFacts(rows[0]);
  if (facts.scope === undefined) throw new Error('the scope row vanished although scopes are never deleted');
  return { ...facts, scope: facts.scope };
}

export async function saveSourceBinding(
  tx: PgTransaction,
  m: MetadataNames,
  binding: { readonly scopePk: string; readonly sourceId: string; readonly userId: string },
): Promise<void> {
  await tx.query(insertSourceBinding(m), [binding.scopePk, binding.sourceId, binding.userId]);
}

const NOBODY: ActorFacts = { scope: undefined, source: { name: 'unknown' }, boundUserId: undefined };

/** Reads a row of `selectActorFacts`. */
export function readActorFacts(row: PgRow | undefined): ActorFacts {
  if (row === undefined) return NOBODY;
  const [scopePk, state, leaseSource, leaseId, isLive, expiresAt, remaining, head, floor, ...source] = row;
  const [sourceState, kind, watermark, replacedBy, boundUserId] = source;
  const scope: ScopeFacts = {
    scopePk: scopePk ?? '',
    lineage: readScopeLineage(state ?? null, leaseSource ?? null, leaseId ?? null, isLive === 't'),
    head: BigInt(head ?? 0),
    floor: BigInt(floor ?? 0),
    lease: typeof expiresAt === 'string' ? { expiresAt, remainingSeconds: BigInt(remaining ?? 1) } : undefined,
  };
  return {
    scope,
    source: readSourceLineage(sourceState ?? null, kind ?? null, watermark ?? null, replacedBy ?? null),
    boundUserId: boundUserId ?? undefined,
  };
}

function readScopeLineage(
  state: string | null,
  sourceId: string | null,
  initializationId: string | null,
  isLeaseLive: boolean,
): ScopeLineage {
  if (state === 'initialized') return { name: 'initialized' };
  if (state !== 'initializing' || sourceId === null || initializationId === null) return { name: 'uninitialized' };
  return { name: 'initializing', leaseSourceId: sourceId, initializationId, isLeaseLive };
}

export function readSourceLineage(
  state: string | null,
  kindText: string | null,
  watermarkText: string | null,
  replacedBySourceId: string | null,
): SourceLineage {
  const kind: SourceKind = kindText === 'server' ? 'server' : 'client';
  const watermark = BigInt(watermarkText ?? 0);
  switch (state) {
    case 'reserved':
      return { name: 'reserved', kind };
    case 'active':
      return { name: 'active', kind, watermark };
    case 'retired':
      return { name: 'retired', kind, watermark, replacedBySourceId };
    default:
      return { name: 'unknown' };
  }
}
