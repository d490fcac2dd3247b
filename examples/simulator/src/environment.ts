import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { startPostgres, useExternalPostgres } from '@oversync/dev-postgres';
import type { PostgresByUrl } from '@oversync/dev-postgres';
import { RICH_SCHEMA_SQL, startReferenceServer } from '@oversync/reference-server-example';
import type { ReferenceServer } from '@oversync/reference-server-example';
import { SignJWT } from 'jose';
import { Pool } from 'pg';

import { BackOffice } from './back-office.ts';
import { addBusinessRules } from './business-rules.ts';
import { TOKEN_LIFE_SECONDS, VERIFY_POOL_SIZE } from './limits.ts';

export interface EnvironmentOptions {
  /** A server that runs already. Needs `db` and `jwtSecret`. */
  readonly server?: string | undefined;
  /** Its database; without `server`, the database for the server that is started here. */
  readonly db?: string | undefined;
  readonly jwtSecret?: string | undefined;
  /** Leave the data of a PostgreSQL that was started here. */
  readonly keepDb?: boolean | undefined;
  /** Leave the files of the devices. */
  readonly keepFiles?: boolean | undefined;
  readonly log?: ((line: string) => void) | undefined;
}

/** The server under test, its database, and the means to look behind it. */
export interface Environment {
  readonly serverUrl: string;
  readonly folder: string;
  readonly backOffice: BackOffice;
  /** A token of this user, signed here. */
  tokenOf(user: string): Promise<string>;
  /** Rows as arrays of text. */
  query(sql: string, params: readonly string[]): Promise<readonly (readonly (string | null)[])[]>;
  /** Watch streams of this user that the server holds now; `null` for a server without test routes, which does not tell. */
  streamCount(user: string): Promise<number | null>;
  close(): Promise<void>;
}

/** Starts whatever was not given: a PostgreSQL, then a reference server with the rich schema. */
export async function openEnvironment(options: EnvironmentOptions = {}): Promise<Environment> {
  if (options.server !== undefined && (options.db === undefined || options.jwtSecret === undefined))
    throw new Error('--server needs --db and --jwt-secret');
  const closers: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const end of closers.splice(0).reverse()) await end();
  };
  try {
    return { ...(await startAll(options, closers)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Starts one thing after the other; `closers` gets what ends each of them. */
async function startAll(options: EnvironmentOptions, closers: (() => Promise<void>)[]): Promise<Omit<Environment, 'close'>> {
  const folder = await mkdtemp(join(tmpdir(), 'oversync-simulator-'));
  closers.push(() => removeFolder(options, folder));
  const postgres = await findPostgres(options, folder);
  closers.push(() => (options.keepDb === true ? postgres.stop() : postgres.destroy()));
  const jwtSecret = options.jwtSecret ?? randomBytes(32).toString('hex');
  const pool = new Pool({ connectionString: postgres.url, max: VERIFY_POOL_SIZE });
  pool.on('error', () => undefined);
  closers.push(() => pool.end());
  const server = options.server === undefined ? await startServer(pool, postgres, jwtSecret) : null;
  if (server !== null) closers.push(() => server.close());
  closers.push(await addBusinessRules(pool));
  const backOffice = new BackOffice(postgres.url);
  closers.push(() => backOffice.close());
  const serverUrl = options.server ?? server?.url ?? '';
  return {
    serverUrl,
    folder,
    backOffice,
    tokenOf: (user) => signToken(user, jwtSecret),
    query: async (sql, params) =>
      (await pool.query<(string | null)[]>({ text: sql, values: [...params], rowMode: 'array' })).rows,
    streamCount: (user) => countStreams(serverUrl, user),
  };
}

async function removeFolder(options: EnvironmentOptions, folder: string): Promise<void> {
  if (options.keepFiles === true) options.log?.(`files are kept in ${folder}`);
  else if (options.keepDb !== true) await rm(folder, { recursive: true, force: true });
}

async function findPostgres(options: EnvironmentOptions, folder: string): Promise<PostgresByUrl> {
  if (options.db !== undefined) return useExternalPostgres(options.db);
  const { log } = options;
  const dataDir = join(folder, 'postgres');
  const settings = { fsync: 'off', max_connections: '200' };
  const postgres = await startPostgres({ dataDir, engine: 'embedded', settings, ...(log === undefined ? {} : { log }) });
  if (postgres.kind === 'pglite') throw new Error('the simulator needs a PostgreSQL server');
  return postgres;
}

async function startServer(pool: Pool, postgres: PostgresByUrl, jwtSecret: string): Promise<ReferenceServer> {
  await pool.query(RICH_SCHEMA_SQL);
  return startReferenceServer({ postgres, jwtSecret, devSignIn: false, schema: 'rich', testRoutes: true, port: 0 });
}

async function countStreams(serverUrl: string, user: string): Promise<number | null> {
  const response = await fetch(`${serverUrl}/test/watch-subscribers?user_id=${encodeURIComponent(user)}`);
  const body: unknown = await response.json();
  if (response.status !== 200 || typeof body !== 'object' || body === null || !('subscriber_count' in body)) return null;
  return Number(body.subscriber_count);
}

function signToken(user: string, jwtSecret: string): Promise<string> {
  return new SignJWT()
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(user)
    .setIssuedAt()
    .setExpirationTime(`${TOKEN_LIFE_SECONDS}s`)
    .sign(new TextEncoder().encode(jwtSecret));
}
