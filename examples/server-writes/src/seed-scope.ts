import type { SyncServer } from '@oversync/server';

import { WRITERS } from './shop.ts';

export interface Product {
  readonly id: string;
  readonly name: string;
  readonly price: string;
}

/**
 * Fills a new tenant's scope before its first device connects. The scope becomes initialized by it, so the first device downloads the
 * products instead of seeding an empty scope itself. Fails with `scope_initializing` while a device is just doing that.
 */
export async function seedScope(server: SyncServer, tenant: string, products: readonly Product[]): Promise<number> {
  const lines = products.map(({ id, name, price }) => [tenant, id, name, price].map(escapeCopyText).join('\t') + '\n').join('');
  const { bundle } = await server.scopes.execWrite(tenant, { writerId: WRITERS.seeder }, (tx) =>
    tx.copyFrom('COPY shop.products (_sync_scope_id, id, name, price) FROM STDIN', [new TextEncoder().encode(lines)]),
  );
  return bundle.rowCount;
}

function escapeCopyText(text: string): string {
  return text.replace(/[\\\t\n\r]/g, (character) => `\\${character}`);
}
