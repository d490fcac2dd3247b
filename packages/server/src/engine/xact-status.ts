import type { SyncContext } from './context.ts';

/** `in progress` means that the backend has not noticed the broken connection yet. */
export type TransactionStatus = 'committed' | 'aborted' | 'in progress' | 'unknown';

/**
 * Asks PostgreSQL what became of a transaction after its connection broke. `xid` is the text of `pg_current_xact_id()`, read
 * inside the transaction. A status that is too old to be known, or a database that cannot be asked, is `unknown`.
 */
export async function loadTransactionStatus(ctx: SyncContext, xid: string): Promise<TransactionStatus> {
  try {
    const { rows } = await ctx.db.query('SELECT pg_xact_status($1::xid8)', [xid]);
    const status = rows[0]?.[0];
    return status === 'committed' || status === 'aborted' || status === 'in progress' ? status : 'unknown';
  } catch {
    return 'unknown';
  }
}
