import { createSyncClient, type SyncClient } from '@oversync/client';
import { createNodeSqliteDriver, type NodeSqliteDriver } from '@oversync/client/node-sqlite';

import { type AnyCase, type Benchmark, defineCase } from './harness/benchmark.ts';
import type { Sandbox } from './harness/sandbox.ts';

const TABLES = 20;
const ROWS_PER_TABLE = 100;

interface Screen {
  readonly driver: NodeSqliteDriver;
  readonly client: SyncClient;
  /** Results that subscribers have received. */
  resultCount: number;
  readonly close: () => Promise<void>;
}

/** One write while many queries are watched: only those of its table may run again. */
export const liveQuery: Benchmark = {
  name: 'live-query',
  title: `a write to one of ${TABLES} tables until the watched queries of that table have new results; raw is the write and those queries`,
  rowsDefault: 1000,
  repetitionsDefault: 5,
  setUp({ rows, sandbox }) {
    const queriesPerTable = Math.max(1, Math.round(rows / TABLES));
    return Promise.resolve([
      rawCase(sandbox, queriesPerTable),
      watchedCase(sandbox, 1, queriesPerTable),
      watchedCase(sandbox, TABLES, queriesPerTable),
    ]);
  },
};

function rawCase(sandbox: Sandbox, queriesPerTable: number): AnyCase {
  return defineCase({
    name: `raw write and ${queriesPerTable} queries`,
    isRaw: true,
    units: queriesPerTable,
    unit: 'queries',
    prepare: () => openScreen(sandbox),
    run: async ({ driver }) => {
      await write(driver);
      for (let query = 0; query < queriesPerTable; query += 1) await driver.all(sqlOf(0), [BigInt(query % ROWS_PER_TABLE)]);
    },
    finish: (screen) => screen.close(),
  });
}

function watchedCase(sandbox: Sandbox, tables: number, queriesPerTable: number): AnyCase {
  return defineCase({
    name: `${tables * queriesPerTable} watched queries on ${tables} ${tables === 1 ? 'table' : 'tables'}`,
    units: queriesPerTable,
    unit: 'queries',
    prepare: async () => {
      const screen = await openScreen(sandbox);
      for (let table = 0; table < tables; table += 1) watch(screen, table, queriesPerTable);
      await untilResults(screen, tables * queriesPerTable);
      screen.resultCount = 0;
      return screen;
    },
    run: async (screen) => {
      await write(screen.driver);
      await untilResults(screen, queriesPerTable);
    },
    finish: async (screen) => {
      if (screen.resultCount !== queriesPerTable) throw new Error(`${screen.resultCount} results instead of ${queriesPerTable}`);
      await screen.close();
    },
  });
}

async function openScreen(sandbox: Sandbox): Promise<Screen> {
  const driver = createNodeSqliteDriver(sandbox.newFile('screen'));
  await driver.exec('PRAGMA journal_mode = wal; PRAGMA synchronous = NORMAL');
  const names = Array.from({ length: TABLES }, (_, table) => `t${table}`);
  for (const name of names) await driver.exec(`CREATE TABLE ${name} (id TEXT NOT NULL PRIMARY KEY, n INTEGER NOT NULL)`);
  const client = createSyncClient({
    driver,
    baseUrl: 'http://127.0.0.1:9',
    headers: () => ({}),
    schema: 'business',
    tables: names.map((tableName) => ({ tableName, syncKeyColumnName: 'id' })),
  });
  await client.open();
  for (const name of names) {
    for (let row = 0; row < ROWS_PER_TABLE; row += 1) await driver.run(`INSERT INTO ${name} VALUES (?, 0)`, [`row-${row}`]);
  }
  const close = async (): Promise<void> => {
    await client.close();
    driver.close();
  };
  return { driver, client, resultCount: 0, close };
}

function watch(screen: Screen, table: number, queries: number): void {
  for (let query = 0; query < queries; query += 1) {
    screen.client.liveQuery(sqlOf(table), [BigInt(query % ROWS_PER_TABLE)]).subscribe(() => {
      screen.resultCount += 1;
    });
  }
}

function sqlOf(table: number): string {
  return `SELECT id, n FROM t${table} WHERE n >= 0 ORDER BY id LIMIT 10 OFFSET ? % 10`;
}

/** Changes every row of the first table, so that every result over it is another one. */
async function write(driver: NodeSqliteDriver): Promise<void> {
  await driver.run('UPDATE t0 SET n = n + 1');
}

async function untilResults(screen: Screen, count: number): Promise<void> {
  while (screen.resultCount < count) await new Promise((resolve) => setImmediate(resolve));
}
