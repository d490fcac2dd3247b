/** Runs the three writers once: `node --conditions=oversync-source examples/server-writes/src/main.ts`. */
import { startPostgres } from '@oversync/dev-postgres';

import { changePrice } from './admin-edit.ts';
import { billMonth } from './billing-worker.ts';
import { seedScope } from './seed-scope.ts';
import { openShop } from './shop.ts';

const postgres = await startPostgres({ dataDir: '.oversync/server-writes', engine: 'embedded' });
if (postgres.kind === 'pglite') throw new Error('a PostgreSQL server is needed');
const tenant = `tenant-${String(Date.now())}`;
const shop = await openShop(postgres.url);
try {
  const products = Array.from({ length: 1000 }, (_, index) => ({
    id: `p-${String(index)}`,
    name: `product ${String(index)}`,
    price: '9.90',
  }));
  console.log(`seeded ${String(await seedScope(shop.server, tenant, products))} products`);
  console.log(`changed a price: ${String(await changePrice(shop.server, tenant, 'p-7', '12.50'))}`);
  console.log(`changed a price of nothing: ${String(await changePrice(shop.server, tenant, 'p-none', '12.50'))}`);
  for (const run of ['first', 'second']) {
    const { isNew } = await billMonth(shop.server, tenant, '2026-11', '1250.00');
    console.log(`${run} run of the billing job: ${isNew ? 'billed' : 'was billed already'}`);
  }
} finally {
  await shop.close();
  await postgres.stop();
}
