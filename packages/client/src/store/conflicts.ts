import { SyncError } from '@oversync/protocol';

import type { SqliteDriver, SqliteTx, SqlValue } from '../ports/sqlite-driver.ts';
import { checkIncomingRow, keyJsonOf } from '../rules/check-incoming.ts';
import type { ConflictContext, Resolution, RowOp } from '../rules/conflict-types.ts';
import { decideResolution } from '../rules/decide-resolution.ts';
import type { ConflictAction } from '../rules/decide-resolution.ts';
import { hexFromBytes } from '../rules/hex.ts';
import type { LocalSchema, LocalTable } from '../rules/local-schema.ts';
import { isSameRow, rowFromCaptured, rowFromWire, valuesOfMergedRow } from '../rules/row-values.ts';
import { wireKeyOf } from '../rules/wire-key.ts';
import { bigintColumn, countColumn, optionalTextColumn, textColumn } from './columns.ts';
import { applyDecision } from './conflict-apply.ts';
import type { Decision } from './conflict-apply.ts';
import { withdrawOrphans } from './conflict-foreign-keys.ts';
import { conflictContext, isSameRecord, loadConflictRecords } from './conflict-records.ts';
import type { ConflictRecord, ServerImage } from './conflict-records.ts';
import { LOAD_CONTESTED } from './conflicts.sql.ts';
import { unfreezeOutbox } from './outbox.ts';
import { loadMeta, saveMeta } from './meta.ts';
import { recordOutcomes } from './outcomes.ts';
import type { NewOutcome } from './outcomes.ts';
import { QuarantineLog } from './set-aside.ts';
import type { ConflictSummary, ResolveInput, ResolveResult, ServerConflict } from './store-types.ts';
import { beginApply, setApplyMode, translatingFaults } from './transaction.ts';

/** Conflicts decided together: each holds up to three images of its row in memory. */
const CONFLICT_ROWS = 100;

/** Times a decision is made again because the row changed meanwhile; after that the row is left for the next call. */
const DECIDE_ATTEMPTS_MAX = 5;

/**
 * Answers a `push_conflict` (client.md 6.7): the rejected bundle is unfrozen, then each listed key is resolved against its live row and
 * the outcome applied. Resolvers run outside any transaction.
 *
 * @throws SyncError `conflict_resolution_invalid`, `resolver_failed`: the rows are dirty, the outbox is empty. `protocol_violation`,
 * `payload_value_invalid` and the like when the server's row cannot be read: nothing has changed then.
 */
export function resolveConflicts(
  driver: SqliteDriver,
  schema: LocalSchema,
  conflicts: readonly ServerConflict[],
  input: ResolveInput,
): Promise<ResolveResult> {
  return translatingFaults('pushPending', async () => {
    const images = conflicts.map((conflict) => imageOf(schema, conflict));
    const run = new ResolutionRun(driver, schema, input);
    await driver.transaction('immediate', (tx) => unfreezeOutbox(tx));
    for (let start = 0; start < images.length; start += CONFLICT_ROWS)
      await run.resolve(images.slice(start, start + CONFLICT_ROWS));
    return run.result();
  });
}

/** Decides keys for which a newer server image waits, before they are frozen, so that they cost no refused push. */
export function resolveContested(driver: SqliteDriver, schema: LocalSchema, input: ResolveInput): Promise<ResolveResult> {
  return translatingFaults('pushPending', async () => {
    const run = new ResolutionRun(driver, schema, input);
    for (let after: readonly [string, string] = ['', '']; ;) {
      const rows = await driver.all(LOAD_CONTESTED, [schema.name, ...after, BigInt(CONFLICT_ROWS)]);
      const last = rows.at(-1);
      if (last === undefined) return run.result();
      after = [textColumn(last, 0), textColumn(last, 1)];
      await run.resolve(rows.flatMap((row) => contestedImage(schema, row)));
    }
  });
}

function imageOf(schema: LocalSchema, conflict: ServerConflict): ServerImage {
  const table = schema.tablesByName.get(conflict.table);
  if (table === undefined) throw new SyncError('protocol_violation', { details: { reason: 'identity' } });
  const { serverRowVersion: rowVersion, serverRowDeleted, serverPayload, keyJson } = conflict;
  if (serverPayload === null)
    return { table, keyJson, rowVersion, state: serverRowDeleted ? 'tombstone' : 'none', payload: null };
  const keyValue = wireKeyOf(table, keyJson);
  const row = {
    schema: schema.name,
    table: table.wireName,
    keyColumn: table.key.wireName,
    keyValue,
    op: 'UPDATE',
    rowVersion,
  } as const;
  const { payload } = checkIncomingRow(schema, { ...row, payload: serverPayload });
  return { table, keyJson: keyJsonOf(table, keyValue), rowVersion, state: 'live', payload };
}

function contestedImage(schema: LocalSchema, row: readonly SqlValue[]): ServerImage[] {
  const table = schema.tablesByName.get(textColumn(row, 0));
  if (table === undefined) return [];
  const isDeleted = countColumn(row, 3) === 1;
  return [
    {
      table,
      keyJson: textColumn(row, 1),
      rowVersion: bigintColumn(row, 2),
      state: isDeleted ? 'tombstone' : 'live',
      payload: isDeleted ? null : optionalTextColumn(row, 4),
    },
  ];
}

/** Decides and applies page by page, and collects what it did. */
class ResolutionRun {
  readonly #driver: SqliteDriver;
  readonly #schema: LocalSchema;
  readonly #input: ResolveInput;
  readonly #log: QuarantineLog;
  readonly #conflicts: ConflictSummary[] = [];
  readonly #tables = new Set<string>();
  #invalid: SyncError | null = null;

  constructor(driver: SqliteDriver, schema: LocalSchema, input: ResolveInput) {
    this.#driver = driver;
    this.#schema = schema;
    this.#input = input;
    this.#log = new QuarantineLog(input.quarantineMax);
  }

  /** Invalid resolutions are reported only now, so that one bad row does not keep the others from being settled. */
  result(): ResolveResult {
    if (this.#invalid !== null) throw this.#invalid;
    return {
      conflicts: this.#conflicts,
      quarantined: this.#log.entries,
      tables: [...new Set([...this.#tables, ...this.#log.tables])],
    };
  }

  async resolve(images: readonly ServerImage[]): Promise<void> {
    const attempts = new Map<string, number>();
    let open = images;
    for (let count = 0; open.length > 0 && count < DECIDE_ATTEMPTS_MAX; count += 1) {
      const records = await this.#driver.transaction('deferred', (tx) => loadConflictRecords(tx, this.#schema, open));
      const decisions: Decision[] = [];
      for (const record of records) decisions.push(await this.#decide(record, attempts));
      open = await this.#apply(decisions);
    }
  }

  async #decide(record: ConflictRecord, attempts: Map<string, number>): Promise<Decision> {
    const { table, keyJson, state } = record.server;
    if (isSettled(record)) return { record, resolution: { kind: 'acceptServer' }, action: takeServer(record), merged: null };
    const name = `${table.wireName} ${keyJson}`;
    const attempt = attempts.get(name) ?? this.#input.attemptOf(table.wireName, keyJson);
    attempts.set(name, attempt);
    const context = conflictContext(this.#schema, record, this.#input, attempt);
    const resolution = await this.#ask(table, context);
    const merged = resolution.kind === 'keepMerged' ? mergedValues(table, keyJson, resolution) : null;
    const action = decideResolution(record.localOp, state, resolution.kind);
    const isMergeInvalid = action.kind === 'write_merged' && merged === null;
    return { record, resolution, action: isMergeInvalid ? { kind: 'invalid' } : action, merged };
  }

  async #ask(table: LocalTable, context: ConflictContext): Promise<Resolution> {
    try {
      const resolution: unknown = await this.#input.resolverFor(table.wireName)(context);
      return isResolution(resolution) ? resolution : INVALID_RESOLUTION;
    } catch (cause) {
      throw new SyncError('resolver_failed', { operation: 'pushPending', cause });
    }
  }

  /** Applies what is still true in one transaction and returns the images that have to be decided again. */
  async #apply(decisions: readonly Decision[]): Promise<ServerImage[]> {
    const log = new QuarantineLog(Number.POSITIVE_INFINITY);
    const { again, done } = await this.#commit(decisions, log);
    for (const entry of log.entries) this.#log.add(entry);
    for (const decision of done) this.#note(decision);
    for (const table of log.tables) this.#tables.add(table);
    return again;
  }

  async #commit(
    decisions: readonly Decision[],
    log: QuarantineLog,
  ): Promise<{ readonly again: ServerImage[]; readonly done: Decision[] }> {
    return this.#driver.transaction('immediate', async (tx) => {
      await beginApply(tx);
      const again: ServerImage[] = [];
      const done: Decision[] = [];
      const images = decisions.map(({ record }) => record.server);
      const now = await loadConflictRecords(tx, this.#schema, images);
      for (const decision of decisions) {
        const current = now.find((record) => record.server === decision.record.server);
        if (current === undefined) continue;
        if (!isSameRecord(current, decision.record)) again.push(decision.record.server);
        else done.push(await this.#applyOne(tx, decision, log));
      }
      await withdrawOrphans(tx, this.#schema, done, log);
      await recordOutcomes(tx, this.#schema, done.flatMap(outcomeOf), this.#input.outcomeLimit);
      await setApplyMode(tx, 0);
      return { again, done };
    });
  }

  async #applyOne(tx: SqliteTx, decision: Decision, log: QuarantineLog): Promise<Decision> {
    const { server } = decision.record;
    const invalidName = `invalid_resolution:${server.table.wireName}:${server.keyJson}`;
    if (decision.action.kind !== 'invalid') {
      await saveMeta(tx, invalidName, null);
      await applyDecision(tx, this.#schema, decision, log);
      return decision;
    }
    const mark = `${decision.resolution.kind}:${server.rowVersion}`;
    if ((await loadMeta(tx, invalidName)) !== mark) {
      await saveMeta(tx, invalidName, mark);
      return decision;
    }
    await saveMeta(tx, invalidName, null);
    const quarantined: Decision = { ...decision, action: { kind: 'quarantine' }, code: 'resolver_invalid' };
    await applyDecision(tx, this.#schema, quarantined, log);
    return quarantined;
  }

  #note(decision: Decision): void {
    const { server, localOp } = decision.record;
    if (decision.action.kind === 'invalid') {
      this.#invalid ??= new SyncError('conflict_resolution_invalid', {
        operation: 'pushPending',
        details: { table: server.table.wireName, localOp, resolution: decision.resolution.kind },
      });
      return;
    }
    if (decision.action.kind === 'take_server' || decision.action.kind === 'write_merged')
      this.#tables.add(server.table.wireName);
    this.#conflicts.push({
      table: server.table.wireName,
      key: wireKeyOf(server.table, server.keyJson),
      localOp,
      resolution: decision.resolution.kind,
      serverRowVersion: server.rowVersion,
    });
  }
}

/** Both sides deleted, or the live row equal to the server's: nothing to ask about. */
function isSettled(record: ConflictRecord): boolean {
  const { server, livePayload } = record;
  if (livePayload === null || server.payload === null) return livePayload === null && server.payload === null;
  const { table } = server;
  return isSameRow(rowFromCaptured(table, livePayload), rowFromWire(table, server.payload));
}

function takeServer(record: ConflictRecord): ConflictAction {
  return { kind: record.localOp === 'DELETE' && record.server.state !== 'live' ? 'record_server' : 'take_server' };
}

/** The values of a merged row; `null` when it is not a row of this table and key. */
function mergedValues(
  table: LocalTable,
  keyJson: string,
  resolution: Extract<Resolution, { readonly kind: 'keepMerged' }>,
): SqlValue[] | null {
  const values = valuesOfMergedRow(table, resolution.row);
  const key = values?.[table.columns.indexOf(table.key)];
  if (values === null || key === undefined || key === null) return null;
  return keyTextOf(table, key) === keyJson ? values : null;
}

function keyTextOf(table: LocalTable, key: SqlValue): string {
  const captured = key instanceof Uint8Array ? hexFromBytes(key) : String(key);
  return `{${JSON.stringify(table.key.wireName)}:${JSON.stringify(captured)}}`;
}

const RESOLUTIONS: readonly unknown[] = ['acceptServer', 'keepLocal', 'keepMerged', 'recreate', 'defer'];

/** Stands for an answer that is no resolution at all: a merge without a row is never valid. */
const INVALID_RESOLUTION: Resolution = { kind: 'keepMerged', row: {} };

function isResolution(value: unknown): value is Resolution {
  if (typeof value !== 'object' || value === null || !('kind' in value) || !RESOLUTIONS.includes(value.kind)) return false;
  return value.kind !== 'keepMerged' || ('row' in value && typeof value.row === 'object' && value.row !== null);
}

function outcomeOf(decision: Decision): NewOutcome[] {
  const { server, localOp } = decision.record;
  const outcome = outcomeName(decision.action, localOp);
  if (outcome === null) return [];
  return [
    { table: server.table.wireName, keyJson: server.keyJson, op: localOp, outcome, code: null, rowVersion: server.rowVersion },
  ];
}

function outcomeName(action: ConflictAction, localOp: RowOp): NewOutcome['outcome'] | null {
  switch (action.kind) {
    case 'take_server':
      return 'server_won';
    case 'record_server':
      return localOp === 'DELETE' ? 'accepted' : 'server_won';
    case 'keep_local':
      return 'kept_local';
    case 'write_merged':
      return 'merged';
    case 'quarantine':
    case 'invalid':
      // The quarantine records its own outcome.
      return null;
  }
}
