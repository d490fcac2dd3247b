import { SyncError } from '@oversync/protocol';

import { PgFault } from '../ports/postgres.ts';
import type { PgResult, PgTransaction, PgValue } from '../ports/postgres.ts';
import { isTransientFault } from '../rules/pg-faults.ts';
import { inspectSql } from '../rules/statement-guard.ts';
import type { InspectedSql } from '../rules/statement-guard.ts';
import { runInWrite } from './write-context.ts';

/**
 * What a write callback works with: queries inside the bundle transaction. All values are text, as PostgreSQL writes them under
 * `TimeZone` UTC and `DateStyle` ISO. Every call is one round trip and rejects with a `PgFault` when PostgreSQL refuses it; the
 * transaction is lost then, whatever the callback does next.
 */
export interface WriteTransaction {
  /** One statement with parameters `$1 …`. */
  query(sql: string, params?: readonly PgValue[]): Promise<PgResult>;
  /** Several statements without parameters; one result per statement. */
  script(sql: string): Promise<readonly PgResult[]>;
  /** `COPY … FROM STDIN`: the fastest way to seed a scope. */
  copyFrom(sql: string, chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void>;
}

/** The host's part of a write. May run again after a rollback, so it must have no effects outside `tx`. */
export type WriteCallback = (tx: WriteTransaction) => unknown;

/** Transaction control inside a procedure or DO block. */
const TRANSACTION_CONTROL_STATE = '2D000';

/**
 * Runs the callback on a guarded transaction and waits for statements that it did not wait for.
 *
 * @throws what the callback threw; SyncError `callback_violation` for a statement that belongs to the library; the first `PgFault`
 * when the callback hid a statement that failed.
 */
export async function runWriteCallback(inner: PgTransaction, fn: WriteCallback, signal: AbortSignal | undefined): Promise<void> {
  const guard = new WriteGuard(inner);
  try {
    await untilAborted(
      runInWrite(async () => fn(guard.transaction)),
      signal,
    );
  } catch (error) {
    // However the callback has wrapped it: after such a fault the same write is worth another attempt.
    if (guard.fault !== undefined && isTransientFault(guard.fault)) throw guard.fault;
    throw error;
  } finally {
    await guard.close();
  }
  if (guard.violation !== undefined) throw guard.violation;
  if (guard.fault !== undefined) throw guard.fault;
}

/** A callback may wait for something that never comes; shutdown does not wait with it. */
async function untilAborted(running: Promise<unknown>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return void (await running);
  signal.throwIfAborted();
  let stopListening = (): void => {};
  const aborted = new Promise<never>((_resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    stopListening = () => signal.removeEventListener('abort', onAbort);
  });
  try {
    await Promise.race([running, aborted]);
  } finally {
    stopListening();
  }
}

class WriteGuard {
  readonly transaction: WriteTransaction;
  /** The first statement that failed: it has ended the transaction. */
  fault: PgFault | undefined;
  /** Refused before it reached PostgreSQL; remembered for callbacks that swallow errors. */
  violation: SyncError | undefined;
  readonly #running = new Set<Promise<unknown>>();
  #isOpen = true;

  constructor(inner: PgTransaction) {
    this.transaction = {
      query: (sql, params) => this.#run(sql, checkOneStatement, () => inner.query(sql, params)),
      script: (sql) => this.#run(sql, checkNoCopy, () => inner.script(sql)),
      copyFrom: (sql, chunks) => this.#run(sql, checkCopy, () => inner.copyFrom(sql, chunks)),
    };
  }

  /** Later calls are refused: the transaction goes on without the callback. */
  async close(): Promise<void> {
    this.#isOpen = false;
    await Promise.allSettled(this.#running);
  }

  async #run<T>(sql: string, check: (found: InspectedSql) => string | undefined, statement: () => Promise<T>): Promise<T> {
    this.#check(sql, check);
    const running = statement();
    this.#running.add(running);
    try {
      return await running;
    } catch (error) {
      if (error instanceof PgFault) this.fault ??= error;
      if (error instanceof PgFault && error.sqlState === TRANSACTION_CONTROL_STATE) throw this.#refuse(error.message);
      throw error;
    } finally {
      this.#running.delete(running);
    }
  }

  #check(sql: string, check: (found: InspectedSql) => string | undefined): void {
    if (!this.#isOpen) throw this.#refuse('the callback of this write has ended');
    const found = inspectSql(sql);
    const fault = found.fault ?? check(found);
    if (fault !== undefined) throw this.#refuse(fault);
  }

  #refuse(message: string): SyncError {
    const error = new SyncError('callback_violation', { message });
    this.violation ??= error;
    return error;
  }
}

function checkOneStatement(found: InspectedSql): string | undefined {
  return found.words.length === 1 ? checkNoCopy(found) : 'query() takes one statement, script() several';
}

/** Outside `copyFrom` nobody would send the rows. */
function checkNoCopy({ words }: InspectedSql): string | undefined {
  return words.includes('COPY') ? 'COPY goes through copyFrom()' : undefined;
}

function checkCopy({ words }: InspectedSql): string | undefined {
  return words.length === 1 && words[0] === 'COPY' ? undefined : 'copyFrom() takes one COPY … FROM STDIN';
}
