import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

interface OwnerMark {
  readonly pid: number;
  /** Tells a process from a later one that got the same number; empty where the system does not say. */
  readonly startedAt: string;
}

/**
 * Takes the folder for this process. Rejects when another living process has it: two owners would stop each other's server.
 * The mark of a dead process is replaced. Makes the folder when it is absent.
 */
export async function takeOwnership(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const file = join(folder, 'owner.json');
  const owner = await loadMark(file);
  if (owner !== undefined && owner.pid !== process.pid && (await isAlive(owner))) {
    throw new Error(`the data folder ${folder} is in use by process ${owner.pid}`);
  }
  const mark: OwnerMark = { pid: process.pid, startedAt: await readStartTime(process.pid) };
  await writeFile(file, JSON.stringify(mark));
}

export async function releaseOwnership(folder: string): Promise<void> {
  await rm(join(folder, 'owner.json'), { force: true });
}

async function loadMark(file: string): Promise<OwnerMark | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(file, 'utf8'));
    if (typeof value !== 'object' || value === null || !('pid' in value) || !('startedAt' in value)) return undefined;
    const { pid, startedAt } = value;
    return typeof pid === 'number' && typeof startedAt === 'string' ? { pid, startedAt } : undefined;
  } catch {
    return undefined;
  }
}

async function isAlive(owner: OwnerMark): Promise<boolean> {
  return processExists(owner.pid) && (owner.startedAt === '' || owner.startedAt === (await readStartTime(owner.pid)));
}

/** Whether a process has this number; one that belongs to somebody else counts. */
export function processExists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

async function readStartTime(pid: number): Promise<string> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8');
    // Field 22; the name in field 2 may hold blanks, so counting starts behind its bracket.
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}
