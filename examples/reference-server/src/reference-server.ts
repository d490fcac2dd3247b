import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';

import { type DevPostgres, isPortFree } from '@oversync/dev-postgres';
import type { SyncServerOptions } from '@oversync/server';

import { allowAnyOrigin } from './cors.ts';
import { connectDatabase } from './database.ts';
import { sendJson } from './json-http.ts';
import { BUSINESS_SCHEMAS, type BusinessSchemaName } from './schemas.ts';
import { answerSignIn } from './sign-in.ts';
import { SyncHost } from './sync-host.ts';
import { TestRoutes } from './test-routes.ts';
import { createTokens, type Tokens } from './tokens.ts';

/** How many ports after the wanted one are tried when it is taken. */
const PORTS_TRIED_MAX = 50;

export interface ReferenceServerOptions {
  readonly postgres: DevPostgres;
  /** Signs the tokens; there is no default, so that no two installations share one. */
  readonly jwtSecret: string;
  /** Serves `POST /dummy-signin`, which gives a token to anybody. */
  readonly devSignIn: boolean;
  /** Which business tables are served; default `places`. */
  readonly schema?: BusinessSchemaName;
  /** Lets pages of every origin use the server. */
  readonly allowsAnyOrigin?: boolean;
  /** Serves `/test/…`, with which anybody can empty the server. */
  readonly testRoutes?: boolean;
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

/** Creates the schema, bootstraps the sync server and listens. Everything a host has to do is in this folder. */
export async function startReferenceServer(options: ReferenceServerOptions): Promise<ReferenceServer> {
  const tokens = createTokens(options.jwtSecret);
  const connection = await connectDatabase(options.postgres);
  try {
    const schema = BUSINESS_SCHEMAS[options.schema ?? 'places'];
    const sync = await SyncHost.open({ connection, schema, tokens, syncOptions: options.syncOptions ?? {} });
    const routes: Routes = {
      sync,
      tokens,
      devSignIn: options.devSignIn,
      allowsAnyOrigin: options.allowsAnyOrigin ?? false,
      testRoutes: options.testRoutes === true ? new TestRoutes(sync, tokens) : undefined,
    };
    const http = createServer((request, response) => {
      route(request, response, routes).catch(() => {
        if (!response.headersSent) sendJson(response, 500, { error: 'internal_error', message: 'the request failed' });
      });
    });
    const host = options.host ?? '127.0.0.1';
    const port = await listen(http, options.port ?? 8080, host);
    let closed: Promise<void> | undefined;
    const close = async (): Promise<void> => {
      const drained = new Promise<void>((resolve) => http.close(() => resolve()));
      await sync.close();
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

interface Routes {
  readonly sync: SyncHost;
  readonly tokens: Tokens;
  readonly devSignIn: boolean;
  readonly allowsAnyOrigin: boolean;
  readonly testRoutes: TestRoutes | undefined;
}

async function route(request: IncomingMessage, response: ServerResponse, routes: Routes): Promise<void> {
  const path = (request.url ?? '/').split('?')[0] ?? '/';
  if (routes.allowsAnyOrigin && allowAnyOrigin(request, response)) return;
  if (path.startsWith('/sync/')) {
    await routes.testRoutes?.note(request, response, path);
    routes.sync.handleSync(request, response);
  } else if (path.startsWith('/syncx/')) routes.sync.handleOps(request, response);
  else if (path === '/dummy-signin' && routes.devSignIn) await answerSignIn(request, response, routes.tokens);
  else if (path.startsWith('/test/') && routes.testRoutes !== undefined) await routes.testRoutes.answer(request, response, path);
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
