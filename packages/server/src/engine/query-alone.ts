import type { PgResult, PgValue, Postgres } from '../ports/postgres.ts';
import { formatPinnedSettings } from './transaction.ts';

/** How long a statement may run, and wait for locks. */
export interface StatementLimits {
  readonly lockTimeoutMs: number;
  readonly statementTimeoutMs: number;
}

/** One look-up on its own, not tried again: for work beside the requests. Its time is bounded like that of every other statement. */
export function queryAlone(db: Postgres, limits: StatementLimits, sql: string, params: readonly PgValue[]): Promise<PgResult> {
  const begin = { isolation: 'read committed', readOnly: true, settings: formatPinnedSettings(limits) } as const;
  return db.transaction(begin, (tx) => tx.query(sql, params));
}
