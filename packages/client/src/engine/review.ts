import { isSyncError } from '@oversync/protocol';

import type { SqliteDriver } from '../ports/sqlite-driver.ts';
import { isConstraintFault } from '../ports/sqlite-fault.ts';
import { checkPage, storedTableName } from '../rules/page-options.ts';
import { clearDiscarded } from '../store/detach.ts';
import { listOutcomes } from '../store/outcomes.ts';
import type { Outcome } from '../store/outcomes.ts';
import {
  discardQuarantined,
  listDiscarded,
  listQuarantined,
  loadQuarantined,
  retryQuarantined,
} from '../store/quarantine-review.ts';
import type { DiscardedRow, QuarantineKey, QuarantinePage, QuarantinedRow, ReviewResult } from '../store/quarantine-review.ts';
import { withTransaction } from '../store/transaction.ts';
import { checkOpen, emitTables, noteQuarantined, quarantineBudget, runExclusive, runRead } from './engine.ts';
import type { Call, CallOptions, Engine } from './engine.ts';
import { stepDriver } from './fault-points.ts';

/** Rows that were set aside because the server, the local schema or a resolver refused them. */
export interface Quarantine {
  /** In order of table and key, 100 rows unless `limit` says otherwise. Never waits for an operation. Rejects with `invalid_argument`. */
  list(page?: Partial<QuarantinePage>): Promise<readonly QuarantinedRow[]>;
  /** One row, or `null` when it is not set aside any more. */
  get(key: QuarantineKey): Promise<QuarantinedRow | null>;
  /**
   * Queues one row, or all of them, for the next push. Returns how many, rows that waited for a parent included; a row that does not fit
   * into its table beside the others stays where it is.
   */
  retry(key: QuarantineKey | 'all', options?: CallOptions): Promise<number>;
  /** Gives a local change up: the table shows the server's row, at the latest after the rebuild that is asked for where it is unknown. */
  discard(key: QuarantineKey, options?: CallOptions): Promise<number>;
}

/** What became of local writes. */
export interface Outcomes {
  /** Oldest first, 100 unless `limit` says otherwise. Rejects with `invalid_argument`. */
  list(page?: {
    readonly table?: string;
    readonly key?: string;
    readonly after?: bigint;
    readonly limit?: number;
  }): Promise<readonly Outcome[]>;
}

export function quarantineOf(engine: Engine): Quarantine {
  return {
    list: (page = {}) => runRead(engine, 'quarantine', () => listQuarantined(engine.driver, checkOpen(engine), checkPage(page))),
    get: (key) => runRead(engine, 'quarantine', () => loadQuarantined(engine.driver, checkOpen(engine), storedKey(key))),
    retry: (key, options = {}) =>
      runExclusive(engine, 'quarantine', options, (call) => (key === 'all' ? retryAll(call) : retryOne(call, storedKey(key)))),
    discard: (key, options = {}) => runExclusive(engine, 'quarantine', options, (call) => discardOne(call, storedKey(key))),
  };
}

function storedKey({ table, key }: QuarantineKey): QuarantineKey {
  return { table: storedTableName(table), key };
}

export function outcomesOf(engine: Engine): Outcomes {
  return {
    list: (page = {}) => runRead(engine, 'quarantine', () => listOutcomes(engine.driver, checkOpen(engine), checkPage(page))),
  };
}

async function retryOne(call: Call, key: QuarantineKey): Promise<number> {
  const retry = withTransaction(stepDriver(call.engine, 'quarantine'), call.operation, (tx) =>
    retryQuarantined(tx, call.schema, key),
  );
  return report(call, (await unlessConstraint(retry)) ?? NOTHING_RELEASED);
}

/** Passes over the whole list until one releases nothing: a row that fits now may make room for one that was tried before it. */
async function retryAll(call: Call): Promise<number> {
  let released = 0;
  for (;;) {
    const before = released;
    let after: QuarantineKey | undefined;
    do {
      const page = checkPage<Partial<QuarantinePage>>(after === undefined ? {} : { after });
      const rows = await listQuarantined(call.engine.driver, call.schema, page);
      for (const row of rows) released += await retryOne(call, row);
      after = rows.at(-1);
    } while (after !== undefined);
    if (released === before) return released;
  }
}

async function discardOne(call: Call, key: QuarantineKey): Promise<number> {
  const limits = { quarantineMax: quarantineBudget(call), outcomeLimit: call.engine.options.outcomeLimit };
  const discard = (restoresBy: 'write' | 'rebuild'): Promise<ReviewResult> =>
    withTransaction(stepDriver(call.engine, 'quarantine'), call.operation, (tx) =>
      discardQuarantined(tx, call.schema, key, { restoresBy, ...limits }),
    );
  return report(call, (await unlessConstraint(discard('write'))) ?? (await discard('rebuild')));
}

const NOTHING_RELEASED: ReviewResult = { released: 0, quarantined: [], tables: [] };

/** `null` when a constraint of the application kept the rows from being written; nothing has changed then. */
async function unlessConstraint<T>(work: Promise<T>): Promise<T | null> {
  try {
    return await work;
  } catch (error) {
    if (isSyncError(error) && error.code === 'storage_failed' && isConstraintFault(error.cause)) return null;
    throw error;
  }
}

function report(call: Call, result: ReviewResult): number {
  noteQuarantined(call, result.quarantined);
  emitTables(call, result.tables);
  if (result.released > 0)
    call.engine.events.emit({ type: 'quarantineReleased', operation: call.operation, count: result.released });
  return result.released;
}

/** Unsent rows that an attach set aside when it took over the server's rows. */
export function discardedRows(
  engine: Engine,
  page: { readonly limit?: number; readonly offset?: number },
): Promise<readonly DiscardedRow[]> {
  return runRead(engine, 'discarded', () => listDiscarded(engine.driver, checkOpen(engine), { offset: 0, ...checkPage(page) }));
}

export function forgetDiscarded(engine: Engine, options: CallOptions): Promise<void> {
  return runExclusive(engine, 'discarded', options, (call) => withTransaction(engine.driver, call.operation, clearDiscarded));
}

/** What a second connection needs so that its writes of managed tables are captured completely (client.md 4.3). */
export async function prepareConnection(driver: SqliteDriver): Promise<void> {
  await driver.exec('PRAGMA foreign_keys = ON; PRAGMA recursive_triggers = ON');
}
