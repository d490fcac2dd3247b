import { createServer } from 'node:net';
import { join, resolve } from 'node:path';

import type { PGlite } from '@electric-sql/pglite';

import { findBinaries, type PostgresBinaries } from './binaries.ts';
import { type DataFolder, prepareDataFolder, removeDataFolder, writeSettings } from './data-folder.ts';
import { PORT_ATTEMPTS_MAX } from './limits.ts';
import { findServerUser, type OsUser } from './os-user.ts';
import { releaseOwnership, takeOwnership } from './owner-mark.ts';
import { clearLeftovers, guardPostmaster, startPostmaster, stopPostmaster } from './postmaster.ts';

/** Port of a URL that names none. */
const DEFAULT_PORT = 5432;

export interface StartPostgresOptions {
  /** Folder for the data, the password and the log; made when absent. */
  readonly dataDir: string;
  /** Port on 127.0.0.1; `free` (the default) takes any free one. */
  readonly port?: number | 'free';
  /** Server settings of this start, for example `{ fsync: 'off' }`. */
  readonly settings?: Readonly<Record<string, string>>;
  /**
   * `auto` (the default): the server of `DATABASE_URL` when that is set, else PostgreSQL from npm, else PGlite where no binary
   * exists for the platform. The other two force one kind and ignore `DATABASE_URL`.
   */
  readonly engine?: 'auto' | 'embedded' | 'pglite';
  /** Folder of a package of {@link getPlatformPackage} in another version than the one that is installed. */
  readonly packageFolder?: string;
  /** One line per step. */
  readonly log?: (line: string) => void;
}

/** A PostgreSQL server that is reached by URL. */
export interface PostgresByUrl {
  readonly kind: 'embedded' | 'external';
  readonly url: string;
  readonly port: number;
  /** Stops the server if it was started here. Idempotent. */
  stop(): Promise<void>;
  /** Stops the server if it was started here, and deletes its data. */
  destroy(): Promise<void>;
}

/** PostgreSQL inside this process: one connection, no concurrency. */
export interface PostgresInProcess {
  readonly kind: 'pglite';
  readonly database: PGlite;
  stop(): Promise<void>;
  destroy(): Promise<void>;
}

export type DevPostgres = PostgresByUrl | PostgresInProcess;

/**
 * Gives a PostgreSQL for development, examples and tests. The embedded server ends with this process, also when the process is
 * killed; a server that an earlier process left behind in the same folder is stopped first. Rejects when another living process
 * uses the folder.
 */
export async function startPostgres(options: StartPostgresOptions): Promise<DevPostgres> {
  const engine = options.engine ?? 'auto';
  const external = process.env['DATABASE_URL'];
  if (engine === 'auto' && external !== undefined && external !== '') {
    return useExternalPostgres(external);
  }
  if (engine !== 'pglite') {
    const user = await findServerUser();
    const binaries = await findBinaries(user, options.packageFolder);
    if (binaries !== undefined) return startEmbedded(options, binaries, user);
    if (engine === 'embedded') throw new Error(`no PostgreSQL binary for ${process.platform}-${process.arch}`);
  }
  return startPglite(options);
}

/** A server that runs already and is left alone. */
export function useExternalPostgres(url: string): PostgresByUrl {
  return { kind: 'external', url, port: Number(new URL(url).port || DEFAULT_PORT), stop: nothing, destroy: nothing };
}

async function startEmbedded(
  options: StartPostgresOptions,
  binaries: PostgresBinaries,
  user: OsUser | undefined,
): Promise<PostgresByUrl> {
  const folder = resolve(options.dataDir);
  await takeOwnership(folder);
  const { data, pid, port } = await startOwned(folder, options, binaries, user).catch(async (error: unknown) => {
    await releaseOwnership(folder);
    throw error;
  });
  const guard = guardPostmaster(pid);
  options.log?.(`PostgreSQL runs on port ${port}, data in ${data.cluster}`);
  const stop = async (): Promise<void> => {
    await stopPostmaster(data, binaries, user);
    guard?.kill('SIGKILL');
    await releaseOwnership(data.folder);
  };
  return {
    kind: 'embedded',
    url: `postgres://postgres:${encodeURIComponent(data.password)}@127.0.0.1:${port}/postgres`,
    port,
    ...makeEnding(stop, folder),
  };
}

const nothing = (): Promise<void> => Promise.resolve();

function makeEnding(stop: () => Promise<void>, folder: string): Pick<PostgresByUrl, 'stop' | 'destroy'> {
  let stopped: Promise<void> | undefined;
  const stopOnce = (): Promise<void> => (stopped ??= stop());
  const destroy = async (): Promise<void> => {
    await stopOnce();
    await removeDataFolder(folder);
  };
  return { stop: stopOnce, destroy };
}

async function startOwned(
  folder: string,
  options: StartPostgresOptions,
  binaries: PostgresBinaries,
  user: OsUser | undefined,
): Promise<{ readonly data: DataFolder; readonly pid: number; readonly port: number }> {
  const data = await prepareDataFolder(folder, binaries, user);
  await clearLeftovers(data, binaries, user);
  return { data, ...(await startOnPort(data, binaries, user, options)) };
}

async function startOnPort(
  data: DataFolder,
  binaries: PostgresBinaries,
  user: OsUser | undefined,
  options: StartPostgresOptions,
): Promise<{ readonly pid: number; readonly port: number }> {
  const wanted = options.port ?? 'free';
  for (let attempt = 1; ; attempt += 1) {
    const port = wanted === 'free' ? await findFreePort() : wanted;
    const settings = { listen_addresses: '127.0.0.1', port: String(port), unix_socket_directories: '', ...options.settings };
    await writeSettings(data, settings, user);
    try {
      return { pid: await startPostmaster(data, binaries, user), port };
    } catch (error) {
      if (wanted !== 'free' || attempt >= PORT_ATTEMPTS_MAX || (await isPortFree(port))) throw error;
    }
  }
}

async function startPglite(options: StartPostgresOptions): Promise<PostgresInProcess> {
  const { PGlite } = await import('@electric-sql/pglite');
  const folder = resolve(options.dataDir);
  await takeOwnership(folder);
  const database = await PGlite.create(join(folder, 'pglite'));
  options.log?.('PostgreSQL runs inside this process (PGlite)');
  const stop = async (): Promise<void> => {
    await database.close();
    await releaseOwnership(folder);
  };
  return { kind: 'pglite', database, ...makeEnding(stop, folder) };
}

/** A TCP port of 127.0.0.1 that nobody listens on at this moment. */
export function findFreePort(): Promise<number> {
  return listenOnce(0);
}

/** Whether nobody listens on a TCP port of 127.0.0.1 at this moment. */
export function isPortFree(port: number): Promise<boolean> {
  return listenOnce(port).then(
    () => true,
    () => false,
  );
}

function listenOnce(port: number): Promise<number> {
  return new Promise((resolvePort, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(port, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => {
        if (typeof address === 'object' && address !== null) resolvePort(address.port);
        else reject(new Error('no port'));
      });
    });
  });
}
