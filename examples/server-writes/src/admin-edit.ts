import { isSyncError } from '@oversync/protocol';
import type { SyncServer } from '@oversync/server';

import { WRITERS } from './shop.ts';

/**
 * A person at the back office changes a price; every device of the tenant gets it with its next pull. Resolves to false when there is
 * no such product: a write that touches nothing is rolled back and says so.
 */
export async function changePrice(server: SyncServer, tenant: string, productId: string, price: string): Promise<boolean> {
  try {
    await server.scopes.execWrite(tenant, { writerId: WRITERS.admin }, (tx) =>
      tx.query('UPDATE shop.products SET price = $3::numeric WHERE _sync_scope_id = $1 AND id = $2', [tenant, productId, price]),
    );
    return true;
  } catch (error) {
    if (isSyncError(error) && error.code === 'no_captured_changes') return false;
    throw error;
  }
}
