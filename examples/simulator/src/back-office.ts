import { RICH_TABLES } from '@oversync/reference-server-example';
import { createSyncServer, isSyncError } from '@oversync/server';
import type { SyncServer } from '@oversync/server';
import { createPgDatabase } from '@oversync/server/pg';
import { Pool } from 'pg';

import { BACK_OFFICE_POOL_SIZE, CLOSE_TIMEOUT_MS } from './limits.ts';
import { TABLE_NAMES } from './tables.ts';

const WRITER = 'simulator-back-office';

/** A second process of the server's side: it writes into the data of users, and shortens their history. */
export class BackOffice {
  readonly #url: string;
  readonly #servers = new Map<number | null, Promise<SyncServer>>();
  #pool: Pool | null = null;

  constructor(databaseUrl: string) {
    this.#url = databaseUrl;
  }

  /** Runs one statement on the user's rows as one bundle; `$1` is the user. */
  async write(user: string, sql: string, params: readonly string[] = []): Promise<void> {
    await this.#run(null, user, [sql], params);
  }

  /** As `write`, and forgets every bundle of this user but the one that it makes. */
  async writeAndForget(user: string, sql: string, params: readonly string[] = []): Promise<void> {
    await this.#run(1, user, [sql], params);
  }

  /** Deletes every row of the user. */
  async removeUser(user: string): Promise<void> {
    const statements = TABLE_NAMES.map((table) => `DELETE FROM business.${table} WHERE _sync_scope_id = $1`);
    try {
      await this.#run(null, user, statements, []);
    } catch (error) {
      if (!isSyncError(error) || error.code !== 'no_captured_changes') throw error;
    }
  }

  async close(): Promise<void> {
    const servers = await Promise.all(this.#servers.values());
    await Promise.all(servers.map((server) => server.close({ timeoutMs: CLOSE_TIMEOUT_MS })));
    await this.#pool?.end();
  }

  async #run(retained: number | null, user: string, statements: readonly string[], params: readonly string[]): Promise<void> {
    const server = await this.#server(retained);
    await server.scopes.execWrite(user, { writerId: WRITER }, async (tx) => {
      for (const sql of statements) await tx.query(sql, [user, ...params]);
    });
  }

  #server(retained: number | null): Promise<SyncServer> {
    const known = this.#servers.get(retained);
    if (known !== undefined) return known;
    const made = this.#start(retained);
    this.#servers.set(retained, made);
    return made;
  }

  async #start(retained: number | null): Promise<SyncServer> {
    this.#pool ??= makePool(this.#url);
    const server = createSyncServer({
      database: createPgDatabase(this.#pool),
      registeredTables: RICH_TABLES,
      resolveActor: () => null,
      watch: { enabled: true },
      maintenance: { enabled: false },
      ...(retained === null ? {} : { retainedBundlesPerScope: retained }),
    });
    await server.bootstrap();
    return server;
  }
}

function makePool(url: string): Pool {
  const pool = new Pool({ connectionString: url, max: BACK_OFFICE_POOL_SIZE });
  pool.on('error', () => undefined);
  return pool;
}
