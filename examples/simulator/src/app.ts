import { setTimeout as sleep } from 'node:timers/promises';

import { createSyncClient } from '@oversync/client';
import type {
  AttachResult,
  AutomaticOptions,
  LoopHandle,
  SqlValue,
  SqliteTx,
  SyncClient,
  SyncClientOptions,
} from '@oversync/client';
import { createNodeSqliteDriver } from '@oversync/client/node-sqlite';
import type { NodeSqliteDriver } from '@oversync/client/node-sqlite';

import { SEEDING_TIMEOUT_MS } from './limits.ts';
import { Network } from './network.ts';
import { DEVICE_SCHEMA_SQL, TABLE_NAMES } from './tables.ts';

export interface AppSetup {
  readonly name: string;
  /** Path of the database file; it is made when absent. */
  readonly file: string;
  readonly serverUrl: string;
  readonly tokenOf: (user: string) => Promise<string>;
  readonly options?: Partial<SyncClientOptions>;
}

/** What the user of the app sees of sync. */
export interface AppScreen {
  readonly banner: 'sign in' | 'offline' | 'unsent changes' | 'up to date';
  readonly badge: number;
}

type Connected = Extract<AttachResult, { readonly status: 'connected' }>;

/** A simulated application: a database file, the sync client on it, a network, and a screen. */
export class SimulatedApp {
  readonly name: string;
  readonly file: string;
  readonly network = new Network();
  driver: NodeSqliteDriver;
  client: SyncClient;
  readonly #setup: AppSetup;
  #user: string | null = null;

  private constructor(setup: AppSetup) {
    this.name = setup.name;
    this.file = setup.file;
    this.#setup = setup;
    this.driver = createNodeSqliteDriver(setup.file);
    this.client = this.#createClient({});
  }

  /** Starts the application. Makes no request. */
  static async launch(setup: AppSetup): Promise<SimulatedApp> {
    const app = new SimulatedApp(setup);
    await app.#setUpConnection();
    const [row] = await app.driver.all("SELECT count(*) FROM sqlite_schema WHERE name = 'users'");
    if (Number(row?.[0]) === 0) await app.driver.exec(DEVICE_SCHEMA_SQL);
    await app.client.open();
    return app;
  }

  /** Signs in, waiting for another device that is seeding the same user's data. */
  async signIn(user: string): Promise<Connected> {
    this.#user = user;
    const deadline = performance.now() + SEEDING_TIMEOUT_MS;
    for (;;) {
      const result = await this.client.attach(user);
      if (result.status === 'connected') return result;
      if (performance.now() > deadline) throw new Error('another device never finished seeding');
      await sleep(Math.min(result.retryAfterSeconds, 1) * 1000);
    }
  }

  /** Ends the process, as far as that can be seen from outside, and starts another one on the same file. */
  async restart(options: Partial<SyncClientOptions> = {}): Promise<void> {
    await this.stop();
    this.driver = createNodeSqliteDriver(this.file);
    this.client = this.#createClient(options);
    await this.#setUpConnection();
    await this.client.open();
    if (this.#user !== null) await this.client.attach(this.#user);
  }

  async stop(): Promise<void> {
    await this.client.close();
    this.driver.close();
  }

  /** The background loop with watching, quick enough for a scenario. */
  startLoop(options: AutomaticOptions = {}): LoopHandle {
    return this.client.start({ bundleChangeWatchMode: 'auto', uploadDebounceMs: 20, ...options });
  }

  /** A write of the application. */
  write<T>(fn: (tx: SqliteTx) => Promise<T>): Promise<T> {
    return this.client.write(fn);
  }

  run(sql: string, ...params: readonly SqlValue[]): Promise<{ readonly changes: number }> {
    return this.client.write((tx) => tx.run(sql, params));
  }

  /** First column of every row, as text. */
  async list(sql: string, ...params: readonly SqlValue[]): Promise<readonly string[]> {
    return (await this.driver.all(sql, params)).map((row) => String(row[0]));
  }

  /** Rows per table. */
  async rowCounts(): Promise<Readonly<Record<string, number>>> {
    const sql = TABLE_NAMES.map((table) => `SELECT '${table}', count(*) FROM ${table}`).join(' UNION ALL ');
    return Object.fromEntries((await this.driver.all(sql)).map(([table, count]) => [String(table), Number(count)]));
  }

  async screen(): Promise<AppScreen> {
    const { pendingRowCount, quarantinedRowCount } = await this.client.pendingSyncStatus();
    const badge = pendingRowCount + quarantinedRowCount;
    if (!this.network.isOnline()) return { banner: 'offline', badge };
    if (this.#user === null) return { banner: 'sign in', badge };
    return { banner: badge > 0 ? 'unsent changes' : 'up to date', badge };
  }

  /** What applications with a write-ahead log do; what must survive a loss of power, the client writes with more care. */
  async #setUpConnection(): Promise<void> {
    await this.driver.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;');
  }

  #createClient(options: Partial<SyncClientOptions>): SyncClient {
    return createSyncClient({
      driver: this.driver,
      baseUrl: this.#setup.serverUrl,
      headers: async () => ({ Authorization: `Bearer ${await this.#setup.tokenOf(this.#user ?? 'nobody')}` }),
      schema: 'business',
      tables: TABLE_NAMES.map((tableName) => ({ tableName, syncKeyColumnName: 'id' })),
      ...this.#setup.options,
      ...options,
      ports: { http: this.network.transport, connectivity: this.network, ...this.#setup.options?.ports, ...options.ports },
    });
  }
}
