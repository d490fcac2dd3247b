import { SCOPE_COLUMN, SyncError, parseConflict, parseConflicts, stringifyJson } from '@oversync/protocol';
import type { Conflict } from '@oversync/protocol';

import type { Refusal } from '../http/request-reply.ts';
import { incomingKeyJson } from '../rules/check-incoming.ts';
import type { LocalSchema } from '../rules/local-schema.ts';
import type { Resolver } from '../rules/conflict-types.ts';
import { serverWins } from '../rules/resolvers.ts';
import { resolveConflicts, resolveContested } from '../store/conflicts.ts';
import { countPending } from '../store/counts.ts';
import type { ConflictSummary, ResolveInput, ResolveResult, ServerConflict } from '../store/store-types.ts';
import { CONFLICT_ATTEMPTS_MAX } from '../limits.ts';
import { emitTables, noteConflicts, noteQuarantined, quarantineBudget } from './engine.ts';
import type { Call } from './engine.ts';
import { stepDriver } from './fault-points.ts';

/** What one push call remembers about its conflicts. */
export class ConflictBudget {
  readonly summaries: ConflictSummary[] = [];
  readonly #attempts = new Map<string, number>();
  readonly #retryLimit: number;
  #rounds = 0;
  #isSpent = false;

  constructor(retryLimit: number) {
    this.#retryLimit = retryLimit;
  }

  /** Counts one more decision about a key. */
  attemptOf(table: string, keyJson: string): number {
    const name = `${table} ${keyJson}`;
    const attempt = (this.#attempts.get(name) ?? 0) + 1;
    this.#attempts.set(name, attempt);
    if (attempt > this.#retryLimit) this.#isSpent = true;
    return attempt;
  }

  /** Counts one more refused push. */
  countRound(): void {
    this.#rounds += 1;
  }

  get isSpent(): boolean {
    return this.#isSpent || this.#rounds >= CONFLICT_ATTEMPTS_MAX;
  }

  get retryLimit(): number {
    return this.#retryLimit;
  }
}

/** Resolves what a `push_conflict` answer lists. Throws `conflict_retry_exhausted` when rows are left and a key has used up its retries. */
export async function resolvePushConflict(call: Call, refusal: Refusal, budget: ConflictBudget): Promise<void> {
  const conflicts = parsePushConflict(call.schema, refusal);
  budget.countRound();
  const result = await resolveConflicts(
    stepDriver(call.engine, 'conflict'),
    call.schema,
    conflicts,
    resolveInput(call, 'push', budget),
  );
  noteResolved(call, budget, result);
  if (!budget.isSpent) return;
  const { dirty } = await countPending(call.engine.driver);
  if (dirty === 0) return;
  throw new SyncError('conflict_retry_exhausted', { details: { retryCount: budget.retryLimit, remainingDirtyCount: dirty } });
}

/** Decides rows for which a newer server image has arrived, so that they cost no refused push. */
export async function resolveContestedRows(call: Call, budget: ConflictBudget): Promise<void> {
  noteResolved(
    call,
    budget,
    await resolveContested(stepDriver(call.engine, 'conflict'), call.schema, resolveInput(call, 'pull', budget)),
  );
}

function noteResolved(call: Call, budget: ConflictBudget, result: ResolveResult): void {
  budget.summaries.push(...result.conflicts);
  noteConflicts(call, result.conflicts);
  noteQuarantined(call, result.quarantined);
  emitTables(call, result.tables);
}

function resolveInput(call: Call, origin: ResolveInput['origin'], budget: ConflictBudget): ResolveInput {
  const { options } = call.engine;
  return {
    resolverFor: resolverLookup(call),
    origin,
    attemptOf: (table, keyJson) => budget.attemptOf(table, keyJson),
    quarantineMax: quarantineBudget(call),
    outcomeLimit: options.outcomeLimit,
    page: { rowsMax: options.applyBatchRows, bytesMax: options.applyBatchBytes },
  };
}

function resolverLookup(call: Call): (table: string) => Resolver {
  const { local, resolver } = call.engine.options;
  const byTable = new Map(local.tables.map((table) => [table.tableName.trim().toLowerCase(), table.resolver]));
  return (table) => byTable.get(table) ?? resolver ?? serverWins;
}

/** The conflicts of an answer: the list where the server sends one, else the one that is always there. */
export function parsePushConflict(schema: LocalSchema, refusal: Refusal): readonly ServerConflict[] {
  const body = refusal.body ?? {};
  const first = parseConflict(body['conflict']);
  const listed = parseConflicts(body['conflicts']);
  return (listed.length > 0 ? listed : [first]).map((conflict) => serverConflict(schema, conflict));
}

function serverConflict(schema: LocalSchema, conflict: Conflict): ServerConflict {
  const table = schema.tablesByName.get(conflict.table);
  if (table === undefined || conflict.schema !== schema.name) throw violated('identity');
  const [key] = Object.entries(conflict.key);
  if (key === undefined || key[0] !== table.key.wireName) throw violated('identity');
  if (conflict.server_row !== null && Object.hasOwn(conflict.server_row, SCOPE_COLUMN)) throw violated('hidden_column');
  const isGone = conflict.server_row === null;
  if (conflict.server_row_deleted && !isGone) throw violated('row_shape');
  return {
    table: conflict.table,
    keyJson: incomingKeyJson(table, key[0], key[1]),
    op: conflict.op,
    baseRowVersion: conflict.base_row_version,
    serverRowVersion: conflict.server_row_version,
    serverRowDeleted: conflict.server_row_deleted,
    serverPayload: conflict.server_row === null ? null : stringifyJson(conflict.server_row),
  };
}

function violated(reason: string): SyncError {
  return new SyncError('protocol_violation', { details: { reason } });
}
