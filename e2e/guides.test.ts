/** Runs the code of the server guides: every block marked `ts run`, in order, each guide on a database of its own. */
import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { fileURLToPath } from 'node:url';
import { compileFunction } from 'node:vm';

import { createTestDatabase } from '@oversync/dev-postgres/testing';
import { createSyncServer } from '@oversync/server';
import { createPgDatabase } from '@oversync/server/pg';
import { Pool } from 'pg';
import { expect, test } from 'vitest';

const SHOP_SQL = `
CREATE SCHEMA shop;
CREATE TABLE shop.products (_sync_scope_id text NOT NULL, id text NOT NULL, name text NOT NULL, price numeric NOT NULL, PRIMARY KEY (_sync_scope_id, id));
CREATE TABLE shop.invoices (_sync_scope_id text NOT NULL, id text NOT NULL, total numeric NOT NULL, PRIMARY KEY (_sync_scope_id, id));
INSERT INTO shop.products VALUES ('tenant-7', 'p0', 'Cup', 3), ('tenant-8', 'p0', 'Cup', 3);`;

const registeredTables = [
  { schema: 'shop', table: 'products', syncKeyColumn: 'id' },
  { schema: 'shop', table: 'invoices', syncKeyColumn: 'id' },
];

function readBlocks(guide: string): readonly string[] {
  const text = readFileSync(fileURLToPath(new URL(`../docs/guides/server/${guide}.md`, import.meta.url)), 'utf8');
  return [...text.matchAll(/^```ts run\n([\s\S]*?)^```$/gm)].map((match) => match[1] ?? '');
}

/** What the blocks of a guide print. */
async function runGuide(guide: string): Promise<readonly string[]> {
  const blocks = readBlocks(guide);
  const testDatabase = await createTestDatabase();
  const pool = new Pool({ connectionString: testDatabase.url, max: 4 });
  const printed: string[] = [];
  try {
    await pool.query(SHOP_SQL);
    const database = createPgDatabase(pool);
    const server = createSyncServer({ database, registeredTables, resolveActor: () => null, maintenance: { enabled: false } });
    if (guide !== 'adoption') await server.bootstrap();
    const known = {
      createSyncServer,
      registeredTables,
      database,
      pool,
      server,
      console: { log: (...values: unknown[]) => printed.push(values.map((value) => formatValue(value)).join(' ')) },
    };
    for (const block of blocks) await runBlock(block, known);
    await server.close();
    return printed;
  } finally {
    await pool.end();
    await testDatabase.drop();
  }
}

async function runBlock(block: string, known: Readonly<Record<string, unknown>>): Promise<void> {
  const code = `return (async () => {${stripTypeScriptTypes(block)}})()`;
  const run: unknown = compileFunction(code, Object.keys(known)).call(undefined, ...Object.values(known));
  await run;
}

function formatValue(value: unknown): string {
  return typeof value === 'string'
    ? value
    : (JSON.stringify(value, (_name, part: unknown) => (typeof part === 'bigint' ? Number(part) : part)) ?? '');
}

test.each([
  ['writes', ['2 1', 'false true', 'true']],
  ['evolution', []],
  ['adoption', ['2 scopes, 2 rows']],
  ['admin', ['nothing to repair', 'clients of older checkpoints rebuild; history goes on from 1000001']],
])('the code of the guide %s runs and prints what it says', async (guide, printed) => {
  expect(await runGuide(guide)).toEqual(printed);
});

test('every guide of the server has code that runs', () => {
  for (const guide of ['writes', 'evolution', 'adoption', 'admin'])
    expect([guide, readBlocks(guide).length > 0]).toEqual([guide, true]);
});
