import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readdirSync, readlinkSync, realpathSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import type { PostgresBinaries } from './binaries.ts';
import type { DataFolder } from './data-folder.ts';
import { POLL_INTERVAL_MS, START_TIMEOUT_SECONDS, STOP_TIMEOUT_SECONDS } from './limits.ts';
import type { OsUser } from './os-user.ts';
import { processExists } from './owner-mark.ts';
import { runCommand } from './run-command.ts';

/** Starts the server of a prepared folder and waits until it accepts connections. Returns its process number. */
export async function startPostmaster(data: DataFolder, binaries: PostgresBinaries, user: OsUser | undefined): Promise<number> {
  const args = ['start', '-D', data.cluster, '-l', data.logFile, '-w', '-t', String(START_TIMEOUT_SECONDS)];
  const result = await runCommand(binaries.pgCtl, args, user);
  const pid = await readPostmasterPid(data.cluster);
  if (result.exitCode === 0 && pid !== undefined) return pid;
  const log = existsSync(data.logFile) ? await readFile(data.logFile, 'utf8') : '';
  throw new Error(`PostgreSQL did not start:\n${result.output}\n${log.split('\n').slice(-15).join('\n')}`);
}

/** Stops the server of a folder, whoever started it, and waits for its end. Does nothing when none runs. */
export async function stopPostmaster(data: DataFolder, binaries: PostgresBinaries, user: OsUser | undefined): Promise<void> {
  const pid = await readPostmasterPid(data.cluster);
  if (pid === undefined) return;
  const args = ['stop', '-D', data.cluster, '-w', '-t', String(STOP_TIMEOUT_SECONDS)];
  const fast = await runCommand(binaries.pgCtl, [...args, '-m', 'fast'], user);
  if (fast.exitCode !== 0 && processExists(pid)) await runCommand(binaries.pgCtl, [...args, '-m', 'immediate'], user);
}

/**
 * Clears what a killed process left behind: a server that still runs is stopped, and the number file of a dead one is removed.
 * PostgreSQL itself refuses to start when the number in that file now belongs to any other process, as after a container restart.
 */
export async function clearLeftovers(data: DataFolder, binaries: PostgresBinaries, user: OsUser | undefined): Promise<void> {
  const pid = await readPostmasterPid(data.cluster);
  if (pid === undefined) return;
  if (isServerProcess(pid, data.cluster)) {
    await stopPostmaster(data, binaries, user);
    while (isServerProcess(pid, data.cluster)) await sleep(POLL_INTERVAL_MS);
  }
  if (!hasServerProcess(data.cluster)) await rm(join(data.cluster, 'postmaster.pid'), { force: true });
}

/**
 * Ends the server when this process ends, however that happens: a shell waits on a pipe whose other end only this process holds.
 * Not available on Windows, where the server then stays until the next start clears it.
 */
export function guardPostmaster(pid: number): ChildProcess | undefined {
  if (process.platform === 'win32') return undefined;
  const guard = spawn('/bin/sh', ['-c', 'read -r line; kill -INT "$1"', 'sh', String(pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: '/',
    // A process group of its own: Ctrl-C in the terminal must not reach the guard before this process has stopped by itself.
    detached: true,
  });
  guard.unref();
  // The pipe is a socket, whatever its type says; neither it nor the guard keeps this process alive.
  if (guard.stdin instanceof Socket) guard.stdin.unref();
  return guard;
}

async function readPostmasterPid(cluster: string): Promise<number | undefined> {
  try {
    const pid = Number((await readFile(join(cluster, 'postmaster.pid'), 'utf8')).split('\n')[0]);
    return Number.isInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** A PostgreSQL process works inside its cluster's folder; where the system does not tell the folder, being alive must do. */
function isServerProcess(pid: number, cluster: string): boolean {
  if (!processExists(pid)) return false;
  if (!existsSync('/proc/self/cwd')) return true;
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === realpathSync(cluster);
  } catch {
    return false;
  }
}

/** Whether any process still works in the cluster: a child may outlive its postmaster, and a second server beside it corrupts data. */
function hasServerProcess(cluster: string): boolean {
  if (!existsSync('/proc/self/cwd')) return false;
  return readdirSync('/proc').some((name) => /^\d+$/.test(name) && isServerProcess(Number(name), cluster));
}
