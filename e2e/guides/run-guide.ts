/** Runs the blocks of a guide in order, on a database of its own. */
import { stripTypeScriptTypes } from 'node:module';
import { format } from 'node:util';
import { compileFunction } from 'node:vm';

import { createTestDatabase } from '@oversync/dev-postgres/testing';
import { createSyncServer } from '@oversync/server';
import { createPgDatabase } from '@oversync/server/pg';
import { Pool } from 'pg';

import { listImports, readBlocks } from './guide-blocks.ts';
import type { GuideBlock } from './guide-blocks.ts';

const SHOP_SQL = `
CREATE SCHEMA shop;
CREATE TABLE shop.products (_sync_scope_id text NOT NULL, id text NOT NULL, name text NOT NULL, price numeric NOT NULL, PRIMARY KEY (_sync_scope_id, id));
CREATE TABLE shop.invoices (_sync_scope_id text NOT NULL, id text NOT NULL, total numeric NOT NULL, PRIMARY KEY (_sync_scope_id, id));
INSERT INTO shop.products VALUES ('tenant-7', 'p0', 'Cup', 3), ('tenant-8', 'p0', 'Cup', 3);`;

/** What the blocks find beside their own imports, as declarations for a compiler. */
export const KNOWN_TYPES = `
import type { ActorIdentity, Postgres, RegisteredTableConfig, SyncServer } from '@oversync/server';
import type { Pool } from 'pg';
declare global {
  const connectionString: string;
  const pool: Pool;
  const database: Postgres;
  const registeredTables: readonly RegisteredTableConfig[];
  const resolveActor: (request: Request) => ActorIdentity | null;
  const server: SyncServer;
}
`;

const registeredTables = [
  { schema: 'shop', table: 'products', syncKeyColumn: 'id' },
  { schema: 'shop', table: 'invoices', syncKeyColumn: 'id' },
];

/** The guides show how an application authenticates; here the credentials are the scope. */
function resolveActor(request: Request) {
  const scopeId = request.headers.get('authorization');
  return scopeId === null ? null : { scopeId };
}

/** Every module that a block may import: loaded here, so that the sources run and not a build. */
const MODULES: Readonly<Record<string, () => Promise<object>>> = {
  '@electric-sql/pglite': () => import('@electric-sql/pglite'),
  '@opentelemetry/sdk-metrics': () => import('@opentelemetry/sdk-metrics'),
  '@oversync/client': () => import('@oversync/client'),
  '@oversync/client/better-sqlite3': () => import('@oversync/client/better-sqlite3'),
  '@oversync/client/drizzle': () => import('@oversync/client/drizzle'),
  '@oversync/client/kysely': () => import('@oversync/client/kysely'),
  '@oversync/client/node-sqlite': () => import('@oversync/client/node-sqlite'),
  '@oversync/client/node-sqlite3-wasm': () => import('@oversync/client/node-sqlite3-wasm'),
  '@oversync/client/sqlite-wasm': () => import('@oversync/client/sqlite-wasm'),
  '@oversync/client/testing': () => import('@oversync/client/testing'),
  '@oversync/samplesync-server-example': () => import('@oversync/samplesync-server-example'),
  '@oversync/server': () => import('@oversync/server'),
  '@oversync/server/node': () => import('@oversync/server/node'),
  '@oversync/server/otel': () => import('@oversync/server/otel'),
  '@oversync/server/pg': () => import('@oversync/server/pg'),
  '@oversync/server/pglite': () => import('@oversync/server/pglite'),
  '@oversync/server/postgres-js': () => import('@oversync/server/postgres-js'),
  '@oversync/server/prometheus': () => import('@oversync/server/prometheus'),
  '@sqlite.org/sqlite-wasm': () => import('@sqlite.org/sqlite-wasm'),
  'ajv/dist/2020.js': () => import('ajv/dist/2020.js'),
  'drizzle-orm/sqlite-core': () => import('drizzle-orm/sqlite-core'),
  kysely: () => import('kysely'),
  'node:fs/promises': () => import('node:fs/promises'),
  'node:http': () => import('node:http'),
  'node:zlib': () => import('node:zlib'),
  pg: () => import('pg'),
  postgres: () => import('postgres'),
};

/** What the blocks of a guide print. */
export async function runGuide(guide: string): Promise<readonly string[]> {
  const testDatabase = await createTestDatabase();
  const pool = new Pool({ connectionString: testDatabase.url, max: 4 });
  pool.on('error', () => undefined);
  const printed: string[] = [];
  try {
    await pool.query(SHOP_SQL);
    const database = createPgDatabase(pool);
    const server = createSyncServer({ database, registeredTables, resolveActor, maintenance: { enabled: false } });
    // A first start is what these two are about.
    if (guide !== 'adoption' && guide !== 'bootstrap') await server.bootstrap();
    const known = {
      connectionString: testDatabase.url,
      pool,
      database,
      registeredTables,
      resolveActor,
      server,
      console: { log: (...values: unknown[]) => printed.push(format(...values)) },
    };
    for (const block of readBlocks(guide)) await runBlock(block, known);
    await server.close();
    return printed;
  } finally {
    await pool.end();
    await testDatabase.drop();
  }
}

/** Runs one block with its imports and the given names. */
export async function runBlock({ imports, body }: GuideBlock, known: Readonly<Record<string, unknown>>): Promise<void> {
  const names = { ...known, ...(await loadImports(imports)) };
  const code = `return (async () => {${stripTypeScriptTypes(body)}})()`;
  const run: unknown = compileFunction(code, Object.keys(names)).call(undefined, ...Object.values(names));
  await run;
}

async function loadImports(imports: string): Promise<Readonly<Record<string, unknown>>> {
  const found: Record<string, unknown> = {};
  for (const { names, from } of listImports(imports)) {
    const load = MODULES[from];
    if (load === undefined) throw new Error(`a guide imports ${from}, which its test does not know`);
    const exported = new Map<string, unknown>(Object.entries(await load()));
    for (const name of names) {
      const [source = '', local = source] = name.split(' as ');
      if (!exported.has(source)) throw new Error(`${from} does not export ${source}`);
      found[local] = exported.get(source);
    }
  }
  return found;
}
