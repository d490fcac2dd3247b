import { createServer } from 'node:http';

import { createSyncServer } from '@oversync/server';
import { createNodeHandler } from '@oversync/server/node';
import { createPgDatabase, createPgListener } from '@oversync/server/pg';
import { Pool } from 'pg';

import { verifyRequest } from './auth.ts';
import { SCHEMA_SQL, TABLES } from './schema.ts';

/** How long running requests may take to end at shutdown, in milliseconds. */
const CLOSE_TIMEOUT_MS = 10_000;

export interface AppServerOptions {
  readonly databaseUrl: string;
  readonly jwtSecret: string;
  readonly port: number;
  readonly host?: string;
}

export interface AppServer {
  readonly url: string;
  close(): Promise<void>;
}

/** The whole server of the app: tables, sync below `/sync`, health and status below `/syncx`. */
export async function startAppServer(options: AppServerOptions): Promise<AppServer> {
  const pool = new Pool({ connectionString: options.databaseUrl, max: 10, connectionTimeoutMillis: 5000 });
  // PostgreSQL may end idle connections at any time; the pool opens new ones.
  pool.on('error', () => undefined);
  await pool.query(SCHEMA_SQL);
  const sync = createSyncServer({
    database: createPgDatabase(pool),
    listenDatabase: createPgListener({ connectionString: options.databaseUrl }),
    registeredTables: TABLES,
    appName: 'samplesync',
    // Members of a tenant share its rows; a device may only go on under the user that it began with.
    bindSourcesToUser: true,
    resolveActor: async (request) => {
      const member = await verifyRequest(options.jwtSecret, request);
      return member === null ? null : { scopeId: member.tenant, userId: member.user };
    },
    watch: { enabled: true },
    ops: { detail: 'minimal' },
  });
  await sync.bootstrap();
  const [handleSync, handleOps] = [createNodeHandler(sync), createNodeHandler(sync.ops)];
  const http = createServer((request, response) => {
    if (request.url?.startsWith('/sync/') === true) handleSync(request, response);
    else if (request.url?.startsWith('/syncx/') === true) handleOps(request, response);
    else response.writeHead(404).end();
  });
  const host = options.host ?? '127.0.0.1';
  await new Promise<void>((resolve, reject) => {
    http.once('error', reject).listen(options.port, host, resolve);
  });
  const address = http.address();
  const port = typeof address === 'object' && address !== null ? address.port : options.port;
  return {
    url: `http://${host}:${String(port)}`,
    close: async () => {
      http.close();
      await sync.close({ timeoutMs: CLOSE_TIMEOUT_MS });
      http.closeAllConnections();
      await pool.end();
    },
  };
}
