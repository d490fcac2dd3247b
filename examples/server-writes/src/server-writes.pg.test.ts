import { createTestDatabase, type TestDatabase } from '@oversync/dev-postgres/testing';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { changePrice } from './admin-edit.ts';
import { billMonth } from './billing-worker.ts';
import { seedScope } from './seed-scope.ts';
import { openShop, type Shop } from './shop.ts';

let database: TestDatabase;
let shop: Shop;
beforeAll(async () => {
  database = await createTestDatabase();
  shop = await openShop(database.url);
});
afterAll(async () => {
  await shop.close();
  await database.drop();
});

interface Pulled {
  readonly bundles: readonly { readonly source_id: string; readonly rows: readonly object[] }[];
}

async function pull(tenant: string, source = 'device'): Promise<{ readonly status: number; readonly body: Pulled }> {
  const request = new Request('http://shop.test/sync/pull', { headers: { authorization: tenant, 'Oversync-Source-ID': source } });
  const response = await shop.server.fetch(request);
  return { status: response.status, body: (await response.json()) as Pulled };
}

async function countLedger(tenant: string): Promise<string | undefined> {
  const client = new Client({ connectionString: database.url });
  await client.connect();
  try {
    const sql = 'SELECT count(*)::text AS count FROM shop.ledger WHERE tenant = $1';
    return (await client.query<{ count: string }>(sql, [tenant])).rows[0]?.count;
  } finally {
    await client.end();
  }
}

const PRODUCTS = [
  { id: 'p1', name: 'tab\tand \\ backslash', price: '9.90' },
  { id: 'p2', name: 'plain', price: '0.05' },
];

test('a seeded scope is what the first device downloads', async () => {
  expect(await seedScope(shop.server, 'seeded', PRODUCTS)).toBe(2);
  const { body } = await pull('seeded');
  expect(body.bundles).toMatchObject([
    { source_id: 'shop-seeder', rows: PRODUCTS.map((product) => ({ op: 'INSERT', key: { id: product.id }, payload: product })) },
  ]);
});

test('an edit of the back office reaches the devices; one that finds nothing says so', async () => {
  await seedScope(shop.server, 'edited', PRODUCTS);
  expect(await changePrice(shop.server, 'edited', 'p2', '0.07')).toBe(true);
  expect(await changePrice(shop.server, 'edited', 'p3', '0.07')).toBe(false);
  const { body } = await pull('edited');
  expect(body.bundles).toHaveLength(2);
  expect(body.bundles[1]).toMatchObject({
    source_id: 'shop-admin',
    rows: [{ op: 'UPDATE', payload: { id: 'p2', price: '0.07' } }],
  });
});

test('the billing job bills a month once, however often and in however many processes it runs', async () => {
  const other = await openShop(database.url);
  try {
    const runs = [shop, other, shop, other].map(({ server }) => billMonth(server, 'billed', '2026-11', '1250.00'));
    expect((await Promise.all(runs)).filter(({ isNew }) => isNew)).toHaveLength(1);
    expect(await billMonth(shop.server, 'billed', '2026-12', '80.00')).toEqual({ isNew: true });
    await expect(billMonth(shop.server, 'billed', '2026-12', '81.00')).rejects.toMatchObject({
      code: 'operation_replay_changed',
    });
    expect((await pull('billed')).body.bundles).toHaveLength(2);
    expect(await countLedger('billed')).toBe('2');
  } finally {
    await other.close();
  }
});

test('a device cannot pose as one of the writers', async () => {
  expect((await pull('seeded', 'shop-billing')).status).toBe(400);
});
