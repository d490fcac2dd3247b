import { createHash } from 'node:crypto';

import { isSyncError } from '@oversync/protocol';
import type { SyncServer } from '@oversync/server';

import { WRITERS } from './shop.ts';

const ATTEMPTS_MAX = 5;

/**
 * Bills one month of a tenant exactly once, however often the job runs: the operation id is made from tenant and month, and the receipt
 * is written in the same transaction as the invoice and the ledger entry. Also an answer that got lost at COMMIT is found out by
 * asking again.
 */
export async function billMonth(
  server: SyncServer,
  tenant: string,
  month: string,
  total: string,
): Promise<{ readonly isNew: boolean }> {
  const operation = { operationId: toUuid(`bill ${tenant} ${month}`), operationHash: total };
  for (let attempt = 1; ; attempt += 1) {
    try {
      const { replayed } = await server.scopes.execWrite(tenant, { writerId: WRITERS.billing, ...operation }, async (tx) => {
        await tx.query('INSERT INTO shop.invoices (id, month, total) VALUES ($1, $2, $3::numeric)', [
          `invoice-${month}`,
          month,
          total,
        ]);
        await tx.query('INSERT INTO shop.ledger (tenant, amount) VALUES ($1, $2::numeric)', [tenant, total]);
      });
      return { isNew: !replayed };
    } catch (error) {
      if (!isSyncError(error) || !error.retryable || attempt === ATTEMPTS_MAX) throw error;
      await new Promise((resolve) => setTimeout(resolve, error.retryAfterMs ?? 1000));
    }
  }
}

/** The same UUID for the same text, so that another process of the worker makes the same one. */
function toUuid(text: string): string {
  const hex = createHash('sha256').update(text).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
