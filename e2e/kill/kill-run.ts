import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { findFreePort } from '@oversync/dev-postgres';
import { makeRandom } from '@oversync/main-job-example';

import { Victim } from './child.ts';
import { checkServerHistory, checkSqliteFiles } from './integrity.ts';
import type { ServerArguments, StoryArguments, StoryMessage } from './messages.ts';

/** A kill follows this many messages of the story at most, so that it falls into any step. */
const MESSAGES_BEFORE_KILL_MAX = 30;

/** A kill comes up to this long after its message, in milliseconds: between two messages there are statements and requests. */
const KILL_DELAY_MAX_MS = 60;

/** How long the server stays away, at most, in milliseconds. */
const SERVER_AWAY_MAX_MS = 300;

/** Failures in a row that no kill explains, before the run is called broken. */
const UNEXPLAINED_FAILURES_MAX = 3;

export interface KillRunOptions {
  readonly kills: number;
  readonly rows: number;
  /** The same seed chooses the same victims and the same waits; the machine decides what they hit. */
  readonly seed: number;
  readonly folder: string;
  /** An empty database. */
  readonly databaseUrl: string;
  readonly log: (line: string) => void;
}

export interface Kill {
  readonly victim: 'devices' | 'server';
  /** The step of the story that it interrupted. */
  readonly step: string;
}

export interface KillRunResult {
  readonly kills: readonly Kill[];
  /** Rounds of the story that ended with equal copies. */
  readonly rounds: number;
  /** Times the devices gave up because the server was away, and were started again. */
  readonly restarts: number;
}

/**
 * Plays rounds of the story and kills the devices' process or the server's process at random moments, until enough kills are done
 * and the round in progress has ended with its proof. Throws when a copy differs, or when anything else goes wrong.
 */
export async function runKillTest(options: KillRunOptions): Promise<KillRunResult> {
  const run = new KillRun(options, await findFreePort());
  try {
    return await run.play();
  } finally {
    await run.close();
  }
}

class KillRun {
  readonly #options: KillRunOptions;
  readonly #random: () => number;
  readonly #serverArguments: ServerArguments;
  readonly #storyArguments: StoryArguments;
  readonly #kills: Kill[] = [];
  #server: Victim<string> | undefined;
  #devices: Victim<StoryMessage> | undefined;
  #rounds = 0;
  #restarts = 0;

  constructor(options: KillRunOptions, port: number) {
    const { folder, databaseUrl, rows } = options;
    this.#options = options;
    this.#random = makeRandom(options.seed);
    this.#serverArguments = { databaseUrl, port, jwtSecret: randomBytes(24).toString('base64url') };
    this.#storyArguments = { folder, databaseUrl, rows, serverUrl: `http://127.0.0.1:${port}`, user: 'kill-test' };
  }

  async play(): Promise<KillRunResult> {
    let unexplained = 0;
    for (;;) {
      await this.#startServer();
      const killsBefore = this.#kills.length;
      const ending = await this.#playOneLife();
      if (ending === 'finished') {
        this.#rounds += 1;
        await this.#checkIntegrity();
        if (this.#kills.length >= this.#options.kills)
          return { kills: this.#kills, rounds: this.#rounds, restarts: this.#restarts };
      }
      if (ending === 'gave up') this.#restarts += 1;
      unexplained = ending === 'finished' || this.#kills.length > killsBefore ? 0 : unexplained + 1;
      if (unexplained > UNEXPLAINED_FAILURES_MAX) throw new Error('the story fails although nothing was killed');
    }
  }

  async close(): Promise<void> {
    await this.#devices?.kill();
    await this.#server?.kill();
  }

  /** Starts the devices' process and watches it until it ends, is killed, or gives up. */
  async #playOneLife(): Promise<'finished' | 'killed' | 'gave up'> {
    const devices = new Victim<StoryMessage>('story-process.ts', this.#storyArguments);
    this.#devices = devices;
    let step = 'start';
    let countdown = this.#drawCountdown();
    for (;;) {
      const message = await devices.next();
      if (message === undefined) throw new Error(`the devices' process ended in step ${step} without a word`);
      if (message.kind === 'step') step = message.step;
      if (message.kind === 'error') return this.#judgeError(message, step);
      if (message.kind === 'done') {
        if (!message.isEqual) throw new Error(`round ${message.round} ended with different copies:\n${message.dumps}`);
        await devices.kill();
        return 'finished';
      }
      countdown -= 1;
      if (countdown > 0 || this.#kills.length >= this.#options.kills) continue;
      await sleep(this.#random() * KILL_DELAY_MAX_MS);
      const victim = this.#random() < 0.5 ? 'server' : 'devices';
      this.#kills.push({ victim, step });
      this.#options.log(`kill ${this.#kills.length}: ${victim} in step ${step}`);
      if (victim === 'devices') {
        await devices.kill();
        return 'killed';
      }
      await this.#restartServer();
      countdown = this.#drawCountdown();
    }
  }

  async #judgeError(message: Extract<StoryMessage, { kind: 'error' }>, step: string): Promise<'gave up'> {
    if (!message.isRetryable) throw new Error(`step ${step} failed with ${message.code}:\n${message.text}`);
    this.#options.log(`devices gave up in step ${step}: ${message.code}`);
    await this.#devices?.kill();
    return 'gave up';
  }

  #drawCountdown(): number {
    return 1 + Math.floor(this.#random() * MESSAGES_BEFORE_KILL_MAX);
  }

  async #startServer(): Promise<void> {
    if (this.#server !== undefined) return;
    const server = new Victim<string>('server-process.ts', this.#serverArguments);
    this.#server = server;
    if ((await server.next()) !== 'ready') throw new Error('the server did not start');
  }

  async #restartServer(): Promise<void> {
    await this.#server?.kill();
    this.#server = undefined;
    await sleep(this.#random() * SERVER_AWAY_MAX_MS);
    await this.#startServer();
  }

  async #checkIntegrity(): Promise<void> {
    await checkSqliteFiles(this.#options.folder);
    await checkServerHistory(this.#options.databaseUrl);
  }
}
