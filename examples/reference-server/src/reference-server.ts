import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';

import { type DevPostgres, isPortFree } from '@oversync/dev-postgres';
import { createSyncServer, type SyncServerOptions } from '@oversync/server';
import { createNodeHandler, type NodeHandler } from '@oversync/server/node';

import { connectDatabase, type ExampleDatabase } from './database.ts';
import { EXAMPLE_SCHEMA_SQL, REGISTERED_TABLES } from './example-schema.ts';
import { answerSignIn, sendJson } from './sign-in.ts';
import { createTokens, type Tokens } from './tokens.ts';

/** How many ports after the wanted one are tried when it is taken. */
const PORTS_TRIED_MAX = 50;

/** How long running requests may take to end at shutdown, in milliseconds. */
const CLOSE_TIMEOUT_MS = 10_000;

export interface ReferenceServerOptions {
  readonly postgres: DevPostgres;
  /** Signs the tokens; there is no default, so that no two installations share one. */
  readonly jwtSecret: string;
  /** Serves `POST /dummy-signin`, which gives a token to anybody. */
  readonly devSignIn: boolean;
  /** Default 8080; the next free one is taken when it is in use. */
  readonly port?: number;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Options of the sync server beyond those of the example. */
  readonly syncOptions?: Partial<SyncServerOptions>;
}

export interface ReferenceServer {
  readonly url: string;
  readonly port: number;
  /** Ends streams, lets running requests finish, closes the pool. Does not stop PostgreSQL. Idempotent. */
  close(): Promise<void>;
}

/** Creates the example schema, bootstraps the sync server and listens. Everything a host has to do is in this file. */
export async function startReferenceServer(options: ReferenceServerOptions): Promise<ReferenceServer> {
  const tokens = createTokens(options.jwtSecret);
  const connection = await connectDatabase(options.postgres);
  try {
    await createExampleSchema(connection);
    const sync = createSyncServer({
      database: connection.database,
      ...(connection.listenDatabase === undefined ? {} : { listenDatabase: connection.listenDatabase }),
      resolveActor: async (request) => {
        const user = await tokens.verify(request.headers.get('authorization'));
        return user === null ? null : { scopeId: user, userId: user };
      },
      registeredTables: REGISTERED_TABLES,
      appName: 'oversync-example',
      watch: { enabled: true },
      ...options.syncOptions,
    });
    await sync.bootstrap();
    const handleSync = createNodeHandler(sync);
    const handleOps = createNodeHandler(sync.ops);
    const http = createServer((request, response) => {
      route(request, response, { handleSync, handleOps, tokens, devSignIn: options.devSignIn }).catch(() => {
        if (!response.headersSent) sendJson(response, 500, { error: 'internal_error', message: 'the request failed' });
      });
    });
    const host = options.host ?? '127.0.0.1';
    const port = await listen(http, options.port ?? 8080, host);
    let closed: Promise<void> | undefined;
    const close = async (): Promise<void> => {
      const drained = new Promise<void>((resolve) => http.close(() => resolve()));
      await sync.close({ timeoutMs: CLOSE_TIMEOUT_MS });
      http.closeIdleConnections();
      http.closeAllConnections();
      await drained;
      await connection.close();
    };
    return { url: `http://${host}:${port}`, port, close: () => (closed ??= close()) };
  } catch (error) {
    await connection.close();
    throw error;
  }
}

async function createExampleSchema(connection: ExampleDatabase): Promise<void> {
  await connection.database.transaction({ isolation: 'read committed' }, (tx) => tx.script(EXAMPLE_SCHEMA_SQL));
}

interface Routes {
  readonly handleSync: NodeHandler;
  readonly handleOps: NodeHandler;
  readonly tokens: Tokens;
  readonly devSignIn: boolean;
}

async function route(request: IncomingMessage, response: ServerResponse, routes: Routes): Promise<void> {
  const path = (request.url ?? '/').split('?')[0] ?? '/';
  if (path.startsWith('/sync/')) routes.handleSync(request, response);
  else if (path.startsWith('/syncx/')) routes.handleOps(request, response);
  else if (path === '/dummy-signin' && routes.devSignIn) await answerSignIn(request, response, routes.tokens);
  else sendJson(response, 404, { error: 'not_found', message: 'sync lives below /sync, health and status below /syncx' });
}

async function listen(http: Server, firstPort: number, host: string): Promise<number> {
  let port = firstPort;
  while (port !== 0 && port < firstPort + PORTS_TRIED_MAX && !(await isPortFree(port))) port += 1;
  await new Promise<void>((resolve, reject) => {
    http.once('error', reject);
    http.listen(port, host, () => {
      http.off('error', reject);
      resolve();
    });
  });
  const address = http.address();
  return typeof address === 'object' && address !== null ? address.port : port;
}
