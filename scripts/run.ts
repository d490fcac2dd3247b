import { spawnSync } from 'node:child_process';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Folder of the repository. */
export const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** The published packages, each after those it depends on. */
export const PUBLISHED_PACKAGES = ['protocol', 'client', 'server'] as const;

/** Runs a program with the tools of the workspace on its path, shows its output, and throws when it fails. */
export function run(program: string, args: readonly string[], cwd = ROOT): void {
  const result = spawnSync(program, args, { cwd, stdio: 'inherit', env: workspaceEnvironment() });
  if (result.error !== undefined) throw result.error;
  if (result.status !== 0) throw new Error(`${program} ${args.join(' ')} failed (exit code ${result.status ?? 'none'})`);
}

/** As {@link run}, but returns the standard output. */
export function capture(program: string, args: readonly string[], cwd = ROOT): string {
  const result = spawnSync(program, args, {
    cwd,
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
    env: workspaceEnvironment(),
  });
  if (result.error !== undefined) throw result.error;
  if (result.status !== 0)
    throw new Error(`${program} ${args.join(' ')} failed (exit code ${result.status ?? 'none'})\n${result.stdout}`);
  return result.stdout;
}

function workspaceEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${join(ROOT, 'node_modules', '.bin')}${delimiter}${process.env['PATH'] ?? ''}` };
}
