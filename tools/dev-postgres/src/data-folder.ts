import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, readdir, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { type PostgresBinaries, SHARED_ROOT } from './binaries.ts';
import { LOG_BYTES_MAX } from './limits.ts';
import { canEnter, type OsUser } from './os-user.ts';
import { runCommand } from './run-command.ts';

/** Name of a cluster's folder that had to move. */
const MOVED_PREFIX = 'data-';

export interface DataFolder {
  /** Folder of the caller: password, owner mark, and the cluster unless it had to move. */
  readonly folder: string;
  /** The cluster itself (`PGDATA`), owned by the account of the server. */
  readonly cluster: string;
  readonly password: string;
  readonly logFile: string;
}

/**
 * Makes the folder usable: a password of its own (mode 0600), and a cluster, made by `initdb` in a draft folder that is renamed
 * when complete, so that a killed `initdb` is never taken for a cluster.
 */
export async function prepareDataFolder(
  folder: string,
  binaries: PostgresBinaries,
  user: OsUser | undefined,
): Promise<DataFolder> {
  const password = await loadSecret(join(folder, 'password'));
  const base = await findClusterBase(folder, user);
  const cluster = join(base, 'cluster');
  if (!existsSync(cluster)) await createCluster(base, cluster, password, binaries, user);
  const logFile = join(cluster, 'server.log');
  if (existsSync(logFile) && (await stat(logFile)).size > LOG_BYTES_MAX) await truncate(logFile);
  return { folder, cluster, password, logFile };
}

/** Writes the settings of this start; they come last in `postgresql.conf`, so they win. */
export async function writeSettings(
  data: DataFolder,
  settings: Readonly<Record<string, string>>,
  user: OsUser | undefined,
): Promise<void> {
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'`);
  const file = join(data.cluster, 'oversync.conf');
  await writeFile(file, `${lines.join('\n')}\n`, { mode: 0o600 });
  if (user !== undefined) await chown(file, user.uid, user.gid);
}

/** Reads a secret file, or makes it: 24 random bytes that only the owner can read. Two first starts agree on one secret. */
export async function loadSecret(file: string): Promise<string> {
  const fresh = randomBytes(24).toString('base64url');
  try {
    await writeFile(file, fresh, { mode: 0o600, flag: 'wx' });
    return fresh;
  } catch (error) {
    if (!existsSync(file)) throw error;
    const stored = await readFile(file, 'utf8');
    if (stored !== '') return stored;
    await writeFile(file, fresh, { mode: 0o600 });
    return fresh;
  }
}

/**
 * Where the cluster can live. The account of the server must be able to pass every folder above it; below `/root` it cannot,
 * and then the cluster gets a folder of its own under {@link SHARED_ROOT}, remembered in the file `location`.
 */
async function findClusterBase(folder: string, user: OsUser | undefined): Promise<string> {
  const remembered = await readLocation(folder);
  if (remembered !== undefined && existsSync(remembered)) return remembered;
  if (user !== undefined) await chmod(folder, 0o755);
  if (await canEnter(folder, user)) return folder;
  await removeAbandonedClusters();
  const moved = join(SHARED_ROOT, `${MOVED_PREFIX}${randomBytes(8).toString('hex')}`);
  await mkdir(moved, { recursive: true, mode: 0o755 });
  await writeFile(join(moved, 'origin'), folder);
  await writeFile(join(folder, 'location'), moved);
  return moved;
}

/** Deletes everything that belongs to a data folder, wherever it is. The server must have been stopped. */
export async function removeDataFolder(folder: string): Promise<void> {
  const moved = await readLocation(folder);
  if (moved !== undefined) await rm(moved, { recursive: true, force: true });
  await rm(folder, { recursive: true, force: true });
}

/** Deletes clusters whose data folder was deleted by hand: nothing leads to them any more. */
async function removeAbandonedClusters(): Promise<void> {
  if (!existsSync(SHARED_ROOT)) return;
  for (const name of (await readdir(SHARED_ROOT)).filter((each) => each.startsWith(MOVED_PREFIX))) {
    const moved = join(SHARED_ROOT, name);
    const origin = await readFile(join(moved, 'origin'), 'utf8').catch(() => undefined);
    if (origin !== undefined && (await readLocation(origin)) !== moved) await rm(moved, { recursive: true, force: true });
  }
}

async function readLocation(folder: string): Promise<string | undefined> {
  const text = await readFile(join(folder, 'location'), 'utf8').catch(() => '');
  return text === '' ? undefined : text;
}

async function createCluster(
  base: string,
  cluster: string,
  password: string,
  binaries: PostgresBinaries,
  user: OsUser | undefined,
): Promise<void> {
  const draft = join(base, 'cluster.draft');
  const passwordFile = join(base, 'password.draft');
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { mode: 0o700 });
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
  if (user !== undefined) await Promise.all([draft, passwordFile].map((path) => chown(path, user.uid, user.gid)));
  const result = await runCommand(binaries.initdb, initdbArguments(draft, passwordFile, binaries.majorVersion), user);
  await rm(passwordFile, { force: true });
  if (result.exitCode !== 0) throw new Error(`initdb failed:\n${result.output}`);
  await writeFile(join(draft, 'postgresql.conf'), "\ninclude_if_exists = 'oversync.conf'\n", { flag: 'a' });
  await rename(draft, cluster);
}

/** First version with a locale provider that sorts and folds the same way on every operating system. */
const BUILTIN_LOCALE_VERSION = 17;

function initdbArguments(cluster: string, passwordFile: string, majorVersion: number): readonly string[] {
  return [
    `--pgdata=${cluster}`,
    '--username=postgres',
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C',
    ...(majorVersion < BUILTIN_LOCALE_VERSION ? [] : ['--locale-provider=builtin', '--builtin-locale=C.UTF-8']),
    '--no-sync',
  ];
}
