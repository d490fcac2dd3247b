import { createSyncServer, type SyncServer, type SyncServerOptions } from '@oversync/server';
import { createNodeHandler, type NodeHandler } from '@oversync/server/node';

import type { ExampleDatabase } from './database.ts';
import type { BusinessSchema } from './schemas.ts';
import type { Tokens } from './tokens.ts';

/** How long running requests may take to end at shutdown, in milliseconds. */
const CLOSE_TIMEOUT_MS = 10_000;

interface SyncHostOptions {
  readonly connection: ExampleDatabase;
  readonly schema: BusinessSchema;
  readonly tokens: Tokens;
  readonly syncOptions: Partial<SyncServerOptions>;
}

interface Handlers {
  readonly sync: NodeHandler;
  readonly ops: NodeHandler;
}

/** Of the server itself: a function around its `fetch` would be served as any Web handler is, with streams for the shortest body. */
function makeHandlers(server: SyncServer): Handlers {
  return { sync: createNodeHandler(server), ops: createNodeHandler(server.ops) };
}

/** The sync server of the example on its schema. It can be made anew, which is how tests start from nothing. */
export class SyncHost {
  readonly handleSync: NodeHandler = (request, response) => this.#handlers.sync(request, response);
  readonly handleOps: NodeHandler = (request, response) => this.#handlers.ops(request, response);
  readonly #options: SyncHostOptions;
  #server: SyncServer;
  #handlers: Handlers;

  /** Makes the schema and bootstraps the server. */
  static async open(options: SyncHostOptions): Promise<SyncHost> {
    return new SyncHost(options, await openServer(options));
  }

  private constructor(options: SyncHostOptions, server: SyncServer) {
    this.#options = options;
    this.#server = server;
    this.#handlers = makeHandlers(server);
  }

  /** Ends all streams, drops the schema and everything the server knows, and begins again with empty tables. */
  async reset(): Promise<void> {
    await this.#server.close({ timeoutMs: CLOSE_TIMEOUT_MS });
    await this.#run('DROP SCHEMA IF EXISTS business CASCADE; DROP SCHEMA IF EXISTS sync CASCADE');
    this.#server = await openServer(this.#options);
    this.#handlers = makeHandlers(this.#server);
  }

  /**
   * Makes the bundles of a scope up to `floor` unavailable, as retention does when time has passed. False when the scope does not exist
   * or has no bundle of that number.
   */
  async raiseFloor(scopeId: string, floor: bigint): Promise<boolean> {
    const { rowCount } = await this.#options.connection.database.query(
      'UPDATE sync.scope SET floor = greatest(floor, $2::int8) WHERE scope_id = $1 AND head >= $2::int8',
      [scopeId, floor.toString()],
    );
    return rowCount === 1;
  }

  async close(): Promise<void> {
    await this.#server.close({ timeoutMs: CLOSE_TIMEOUT_MS });
  }

  async #run(sql: string): Promise<void> {
    await this.#options.connection.database.transaction({ isolation: 'read committed' }, (tx) => tx.script(sql));
  }
}

async function openServer(options: SyncHostOptions): Promise<SyncServer> {
  const { connection, schema, tokens } = options;
  await connection.database.transaction({ isolation: 'read committed' }, (tx) => tx.script(schema.sql));
  const server = createSyncServer({
    database: connection.database,
    ...(connection.listenDatabase === undefined ? {} : { listenDatabase: connection.listenDatabase }),
    resolveActor: async (request) => {
      const user = await tokens.verify(request.headers.get('authorization'));
      return user === null ? null : { scopeId: user, userId: user };
    },
    registeredTables: schema.tables,
    appName: 'oversync-example',
    watch: { enabled: true },
    ...options.syncOptions,
  });
  await server.bootstrap();
  return server;
}
