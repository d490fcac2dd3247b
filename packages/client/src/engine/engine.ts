import { SyncError, isSyncError } from '@oversync/protocol';

import type { HttpContext } from '../http/exchange.ts';
import type { HeldLock } from '../ports/lock.ts';
import type { SqliteDriver } from '../ports/sqlite-driver.ts';
import { SqliteFault } from '../ports/sqlite-fault.ts';
import type { LocalSchema, SchemaWarning } from '../rules/local-schema.ts';
import type { ServerCapabilities } from '../rules/negotiation.ts';
import { ProofMemory } from '../rules/proof-memory.ts';
import { refreshLocalSchema } from '../store/open-local-schema.ts';
import type { ConflictSummary, QuarantineRef } from '../store/store-types.ts';
import { EventHub } from './events.ts';
import type { OperationName, ProgressPhase } from './events.ts';
import type { OpenResult } from './open.ts';
import type { ResolvedOptions } from './options.ts';

/** Options of every public call. */
export interface CallOptions {
  /** Ends the call with `aborted`; what was committed locally before stays. */
  readonly signal?: AbortSignal;
  /** What to do while another operation of this client runs. Default: fail with `operation_in_progress`. */
  readonly whenBusy?: 'reject' | 'wait';
}

/** What only lives in memory. Everything that a restart has to know is in SQLite. */
export interface EngineMemory {
  phase: 'created' | 'open' | 'closed';
  /** An attach succeeded in this process. */
  isConnected: boolean;
  schema: LocalSchema | null;
  warnings: readonly SchemaWarning[];
  ownership: HeldLock | null;
  capabilities: { readonly value: ServerCapabilities; readonly atMs: number } | null;
  readonly proofs: ProofMemory;
  /** Chunks in a row that were sent ahead and came too early for the server. */
  chunksAheadMissed: number;
  /** The operation that runs now; resolves when it has ended. */
  running: Promise<void> | null;
}

/** One client: options, ports, memory. */
export interface Engine {
  readonly options: ResolvedOptions;
  readonly driver: SqliteDriver;
  readonly http: HttpContext;
  readonly events: EventHub;
  readonly memory: EngineMemory;
  /** The first `open`, while it runs. */
  opening: Promise<OpenResult> | null;
  readonly closing: AbortController;
  /** Best-effort requests that nobody waits for but `close()`. */
  readonly background: Set<Promise<void>>;
}

/** One running operation. */
export interface Call {
  readonly engine: Engine;
  readonly operation: OperationName;
  readonly signal: AbortSignal;
  readonly schema: LocalSchema;
  /** Rows this call has set aside, over all its steps. */
  readonly quarantined: QuarantineRef[];
}

export function createEngine(options: ResolvedOptions): Engine {
  const { logger } = options.ports;
  return {
    options,
    driver: options.driver,
    http: {
      baseUrl: options.baseUrl,
      headers: options.headers,
      transport: options.ports.http,
      gzip: options.ports.gzip,
      clock: options.ports.clock,
      random: options.ports.random,
      timeouts: options,
      acceptEncoding: options.acceptEncoding,
      retryPolicy: options.retryPolicy,
      capacityRetryPolicy: options.capacityRetryPolicy,
    },
    events: new EventHub(() => logger('warn', 'an event listener threw', {})),
    memory: {
      phase: 'created',
      isConnected: false,
      schema: null,
      warnings: [],
      ownership: null,
      capabilities: null,
      proofs: new ProofMemory(),
      chunksAheadMissed: 0,
      running: null,
    },
    opening: null,
    closing: new AbortController(),
    background: new Set(),
  };
}

/** Throws `client_closed` or `open_required`. Returns the schema of the open client. */
export function checkOpen(engine: Engine): LocalSchema {
  if (engine.memory.phase === 'closed') throw new SyncError('client_closed');
  if (engine.memory.phase === 'created' || engine.memory.schema === null) throw new SyncError('open_required');
  return engine.memory.schema;
}

/**
 * Runs a mutating operation: one at a time per client, on an open client, with fresh table descriptions, and with a signal that fires when
 * the caller gives up or the client closes.
 */
export async function runExclusive<T>(
  engine: Engine,
  operation: OperationName,
  options: CallOptions,
  work: (call: Call) => Promise<T>,
): Promise<T> {
  return withOperationName(operation, async () => {
    checkOpen(engine);
    const release = await enterOperation(engine, options);
    try {
      const signal = anySignal(engine.closing.signal, options.signal);
      if (signal.aborted) throw new SyncError(engine.closing.signal.aborted ? 'client_closed' : 'aborted');
      const schema = await refreshLocalSchema(engine.driver, engine.options.local, checkOpen(engine));
      engine.memory.schema = schema;
      return await work({ engine, operation, signal, schema, quarantined: [] });
    } catch (error) {
      if (isSyncError(error) && error.code === 'aborted' && engine.closing.signal.aborted)
        throw new SyncError('client_closed', { cause: error });
      throw error;
    } finally {
      release();
    }
  });
}

/** Runs a read: never waits for an operation. */
export function runRead<T>(engine: Engine, operation: OperationName, work: () => Promise<T>): Promise<T> {
  return withOperationName(operation, async () => {
    checkOpen(engine);
    return work();
  });
}

async function enterOperation(engine: Engine, options: CallOptions): Promise<() => void> {
  while (engine.memory.running !== null) {
    if (options.whenBusy !== 'wait') throw new SyncError('operation_in_progress');
    await Promise.race([engine.memory.running, whenAborted(options.signal)]);
    if (options.signal?.aborted === true) throw new SyncError('aborted');
    checkOpen(engine);
  }
  const ended = Promise.withResolvers<void>();
  engine.memory.running = ended.promise;
  return () => {
    engine.memory.running = null;
    ended.resolve();
  };
}

function whenAborted(signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) resolve();
    signal?.addEventListener('abort', () => resolve(), { once: true });
  });
}

function anySignal(closing: AbortSignal, caller: AbortSignal | undefined): AbortSignal {
  return caller === undefined ? closing : AbortSignal.any([closing, caller]);
}

/** Errors leave with the name of the public operation; faults of SQLite leave as `storage_failed`. */
export async function withOperationName<T>(operation: OperationName, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw nameOperation(operation, error);
  }
}

function nameOperation(operation: OperationName, error: unknown): unknown {
  if (error instanceof SqliteFault) {
    return new SyncError('storage_failed', { operation, details: { sqliteCode: error.resultCode }, cause: error });
  }
  if (!isSyncError(error) || error.operation !== undefined) return error;
  const named = new SyncError(error.code, {
    operation,
    details: error.details,
    ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs }),
    ...(error.cause === undefined ? {} : { cause: error.cause }),
  });
  // The same error under its full name: where it came from is where it was thrown.
  if (error.stack !== undefined) named.stack = error.stack;
  return named;
}

export function emitProgress(
  call: Call,
  phase: ProgressPhase,
  rows: { readonly rowsDone?: number; readonly rowsTotal?: number } = {},
): void {
  call.engine.events.emit({ type: 'progress', operation: call.operation, phase, ...rows });
}

export function emitTables(call: Call, tables: readonly string[]): void {
  if (tables.length > 0) call.engine.events.emit({ type: 'tablesChanged', tables, origin: 'remote', operation: call.operation });
}

/** Remembers rows that a step set aside, for the result and for the limit of the call. */
export function noteQuarantined(call: Call, rows: readonly QuarantineRef[]): void {
  if (rows.length === 0) return;
  call.quarantined.push(...rows);
  call.engine.events.emit({ type: 'quarantined', operation: call.operation, count: rows.length });
  noteOutcomes(call);
  notify(call, call.engine.options.onRejected, rows);
}

/** Tells the application which conflicts were resolved, and how. */
export function noteConflicts(call: Call, conflicts: readonly ConflictSummary[]): void {
  if (conflicts.length === 0) return;
  call.engine.events.emit({ type: 'conflicts', operation: call.operation, count: conflicts.length });
  noteOutcomes(call);
  notify(call, call.engine.options.onConflict, conflicts);
}

/** A transaction has decided about local writes. */
export function noteOutcomes(call: Call): void {
  if (call.engine.options.outcomeLimit > 0) call.engine.events.emit({ type: 'outcomes', operation: call.operation });
}

/** A callback of the application that throws disturbs nothing. */
function notify<T>(call: Call, callback: ((rows: readonly T[]) => void) | null, rows: readonly T[]): void {
  try {
    callback?.(rows);
  } catch {
    call.engine.options.ports.logger('warn', 'a callback of the application threw', {});
  }
}

/** Rows this call may still set aside. */
export function quarantineBudget(call: Call): number {
  return Math.max(0, call.engine.options.quarantineLimit - call.quarantined.length);
}

/** Runs best-effort work that no call waits for. */
export function runInBackground(engine: Engine, work: Promise<unknown>): void {
  const settled: Promise<void> = work.then(
    () => undefined,
    () => undefined,
  );
  engine.background.add(settled);
  void settled.finally(() => engine.background.delete(settled));
}
