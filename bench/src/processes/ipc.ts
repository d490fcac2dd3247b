import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { Sandbox } from '../harness/sandbox.ts';

/**
 * How the processes under test run. The young generation is set to 4 MB per half, as docs/guides/operations.md recommends where memory
 * counts: V8 would let short-lived garbage take some 100 MB more before it looks, which says nothing about the code.
 */
export const CHILD_FLAGS: readonly string[] = ['--conditions=oversync-source', '--expose-gc', '--max-semi-space-size=4'];

/** Compiled sources; kept between runs. */
const COMPILE_CACHE = fileURLToPath(new URL('../../../.oversync/bench-compile-cache', import.meta.url));
let isCompiled = false;

/**
 * With compiled sources at hand a process does not load the compiler for TypeScript, some 25 MB that an app with built packages never
 * has.
 */
function compiledEnvironment(): NodeJS.ProcessEnv {
  const env = { ...process.env, NODE_COMPILE_CACHE: COMPILE_CACHE };
  if (!isCompiled) {
    const module = fileURLToPath(new URL('./compile-ahead.ts', import.meta.url));
    execFileSync(process.execPath, ['--conditions=oversync-source', module], { env });
    isCompiled = true;
  }
  return env;
}

/** What a parent asks of its child: one call at a time. */
interface Call {
  readonly name: string;
  readonly input: unknown;
}

interface Answer {
  readonly value?: unknown;
  readonly error?: string;
  /** Largest resident set of the child so far, in bytes. */
  readonly rssPeakBytes: number;
}

export type Commands = Readonly<Record<string, (input: never) => Promise<unknown>>>;

/** Child side: answers calls until the parent goes away. */
export function serveParent(commands: Commands): void {
  process.on('message', (call: Call) => {
    void answer(commands, call).then((reply) => process.send?.(reply));
  });
  process.on('disconnect', () => process.exit());
  process.send?.({ value: 'ready', rssPeakBytes: 0 } satisfies Answer);
}

async function answer(commands: Commands, call: Call): Promise<Answer> {
  const command = commands[call.name] as ((input: unknown) => Promise<unknown>) | undefined;
  try {
    if (command === undefined) throw new Error(`no command ${call.name}`);
    const value = await command(call.input);
    return { value, rssPeakBytes: readRssPeak() };
  } catch (error) {
    return { error: error instanceof Error ? (error.stack ?? error.message) : String(error), rssPeakBytes: readRssPeak() };
  }
}

/**
 * Bytes. Linux counts what the parent held when it started a child as the child's `maxRSS`, hundreds of MB where it had made its rows
 * before; the high-water mark of the process itself begins anew.
 */
function readRssPeak(): number {
  const own =
    process.platform === 'linux' ? /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] : undefined;
  return (own === undefined ? process.resourceUsage().maxRSS : Number(own)) * 1024;
}

/** Parent side of one child. */
export class Child {
  readonly #process: ChildProcess;
  readonly #label: string;
  readonly #sandbox: Sandbox;

  private constructor(child: ChildProcess, label: string, sandbox: Sandbox) {
    this.#process = child;
    this.#label = label;
    this.#sandbox = sandbox;
  }

  /** Starts a module of this folder, or a file by its absolute path; its memory is noted under `label`. */
  static async start(module: string, args: readonly string[], label: string, sandbox: Sandbox): Promise<Child> {
    const path = isAbsolute(module) ? module : fileURLToPath(new URL(`./${module}`, import.meta.url));
    const child = fork(path, args, { execArgv: [...CHILD_FLAGS], env: compiledEnvironment(), serialization: 'advanced' });
    const started = await Promise.race([once(child, 'message'), once(child, 'exit').then(() => undefined)]);
    if (started === undefined) throw new Error(`${module} did not start`);
    return new Child(child, label, sandbox);
  }

  async call(name: string, input?: unknown): Promise<unknown> {
    const answered = once(this.#process, 'message');
    this.#process.send({ name, input } satisfies Call);
    const [answer] = (await answered) as [Answer];
    this.#sandbox.noteRss(this.#label, answer.rssPeakBytes);
    if (answer.error !== undefined) throw new Error(`${this.#label}: ${answer.error}`);
    return answer.value;
  }

  /** A call whose answer is a duration in milliseconds. */
  async time(name: string, input?: unknown): Promise<number> {
    const value = await this.call(name, input);
    if (typeof value !== 'number') throw new Error(`${name} gave no time`);
    return value;
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null) return;
    const exited = once(this.#process, 'exit');
    this.#process.disconnect();
    await exited;
  }
}
