import type { NamedRows, SqliteTx, SqlValue } from '../../ports/sqlite-driver.ts';
import type { OpenTransaction } from './caller-context.ts';
import { misuse } from './driver-fault.ts';
import type { SyncCalls } from './sync-calls.ts';

/** The handle of one transaction, dead after its end. */
export class SyncTransaction implements SqliteTx {
  readonly runMany?: (sql: string, rows: readonly (readonly SqlValue[])[]) => Promise<void>;
  readonly #calls: SyncCalls;
  readonly #state: OpenTransaction;

  constructor(calls: SyncCalls, state: OpenTransaction, hasRunMany: boolean) {
    this.#calls = calls;
    this.#state = state;
    if (hasRunMany) this.runMany = async (sql, rows) => this.#live().runMany(sql, rows);
  }

  async exec(sql: string): Promise<void> {
    this.#live().exec(sql);
  }

  async run(sql: string, params: readonly SqlValue[] = []): Promise<{ readonly changes: number }> {
    return this.#live().run(sql, params);
  }

  async all(sql: string, params: readonly SqlValue[] = []): Promise<SqlValue[][]> {
    return this.#live().all(sql, params);
  }

  async allNamed(sql: string, params: readonly SqlValue[] = []): Promise<NamedRows> {
    return this.#live().allNamed(sql, params);
  }

  #live(): SyncCalls {
    if (!this.#state.isOpen) throw misuse('the transaction has ended');
    this.#state.callCount += 1;
    return this.#calls;
  }
}
