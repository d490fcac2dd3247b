import { runCommand } from './run-command.ts';

/** The account that PostgreSQL runs under. */
export interface OsUser {
  readonly uid: number;
  readonly gid: number;
}

/** Accounts that exist on most systems, best first. PostgreSQL refuses to run as root, and needs an account with a name. */
const CANDIDATES = ['postgres', 'nobody'];

/** The account to run PostgreSQL under; `undefined` when this process is not root and its own account will do. */
export async function findServerUser(): Promise<OsUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of CANDIDATES) {
    const user = await lookUp(name);
    if (user !== undefined) return user;
  }
  throw new Error(
    `PostgreSQL refuses to run as root, and none of these accounts exists to run it under: ${CANDIDATES.join(', ')}. ` +
      'Create one of them, or set DATABASE_URL to a server of your own.',
  );
}

async function lookUp(name: string): Promise<OsUser | undefined> {
  const [uid, gid] = await Promise.all([runCommand('id', ['-u', name]), runCommand('id', ['-g', name])]);
  if (uid.exitCode !== 0 || gid.exitCode !== 0) return undefined;
  return { uid: Number(uid.output.trim()), gid: Number(gid.output.trim()) };
}

/** Whether the account can enter `folder`: every folder on the way must let it pass, which a look at one mode cannot tell. */
export async function canEnter(folder: string, user: OsUser | undefined): Promise<boolean> {
  if (user === undefined) return true;
  return (await runCommand('/bin/sh', ['-c', 'test -x "$1" && test -r "$1"', 'sh', folder], user)).exitCode === 0;
}
