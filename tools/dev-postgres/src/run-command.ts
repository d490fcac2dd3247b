import { spawn } from 'node:child_process';

import type { OsUser } from './os-user.ts';

export interface CommandResult {
  readonly exitCode: number;
  /** Standard output and standard error, interleaved. */
  readonly output: string;
}

/** Runs one program to its end, as another user when one is given. Rejects only when the program cannot be started. */
export function runCommand(program: string, args: readonly string[], user?: OsUser): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      // The working folder of the caller may be unreadable for the other user, and initdb complains about that.
      cwd: '/',
      ...(user === undefined ? {} : { uid: user.uid, gid: user.gid }),
      env: { ...process.env, LC_ALL: 'C' },
    });
    let output = '';
    const collect = (chunk: Buffer): void => {
      output += chunk.toString('utf8');
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.once('error', reject);
    child.once('close', (code) => {
      resolve({ exitCode: code ?? 1, output });
    });
  });
}
