import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { findFreePort } from '@oversync/dev-postgres';
import { makeRandom } from '@oversync/main-job-example';

import { Victim } from './child.ts';
import { checkServerHistory, checkSqliteFiles } from './integrity.ts';
import type { ServerArguments, StoryArguments, StoryMessage } from './messages.ts';

/** Steps in which the server works. */
const SERVER_STEPS = ['first-sync', 'second-device', 'sync-a', 'sync-b', 'final-sync-a', 'third-device'];

/** Steps in which the devices work. Each kill aims at one step, so that the short ones are hit as often as the long ones. */
const DEVICE_STEPS = [...SERVER_STEPS, 'start', 'import', 'edits-a', 'edits-b', 'proof'];

/** Length of a step, in milliseconds, until one of its kind has been seen. */
const STEP_GUESS_MS = 150;

/** Places that each round adds, so that every round imports and sends some. */
const ROWS_PER_ROUND = 1000;

/** How long the server stays away, at most, in milliseconds. */
const SERVER_AWAY_MAX_MS = 300;

/** Failures in a row that no kill explains, before the run is called broken. */
const UNEXPLAINED_FAILURES_MAX = 3;

export interface KillRunOptions {
  readonly kills: number;
  readonly rows: number;
  /** The same seed aims at the same moments; the machine decides what they hit. */
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
  /** Last seen length of each step. */
  readonly #stepMs = new Map<string, number>();
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
    const rows = this.#storyArguments.rows + this.#rounds * ROWS_PER_ROUND;
    const devices = new Victim<StoryMessage>('story-process.ts', { ...this.#storyArguments, rows });
    this.#devices = devices;
    const clock = new StepClock(this.#stepMs);
    let aim = this.#takeAim(clock.step);
    let next = devices.next();
    for (;;) {
      const message = await Promise.race([next, aim.isDue]);
      if (message === 'due') {
        const victim = await this.#killOne(devices, clock.step);
        if (victim === 'devices') return 'killed';
        aim = this.#takeAim(clock.step);
        continue;
      }
      next = devices.next();
      if (message === undefined)
        throw new Error(`the devices' process ended in step ${clock.step} without a word: ${devices.ending}`);
      if (message.kind === 'error') return this.#judgeError(message, clock.step);
      if (message.kind === 'done') {
        if (!message.isEqual) throw new Error(`round ${message.round} ended with different copies:\n${message.dumps}`);
        await devices.kill();
        return 'finished';
      }
      if (message.kind === 'step') {
        clock.enter(message.step);
        if (!message.wasDone) aim.enter(message.step);
      }
    }
  }

  async #killOne(devices: Victim<StoryMessage>, step: string): Promise<Kill['victim']> {
    const victim = this.#nextVictim();
    this.#kills.push({ victim, step });
    this.#options.log(`kill ${this.#kills.length}: ${victim} in step ${step}`);
    if (victim === 'devices') await devices.kill();
    else await this.#restartServer();
    return victim;
  }

  /** Turn by turn, so that a short run has both. */
  #nextVictim(): Kill['victim'] {
    return this.#kills.length % 2 === 0 ? 'devices' : 'server';
  }

  /** Chooses a step and a moment in it. Nothing is aimed at once all kills are done. */
  #takeAim(currentStep: string): Aim {
    if (this.#kills.length >= this.#options.kills) return new Aim('none', 0);
    const steps = this.#nextVictim() === 'server' ? SERVER_STEPS : DEVICE_STEPS;
    const step = steps[Math.floor(this.#random() * steps.length)] ?? 'start';
    const aim = new Aim(step, this.#random() * (this.#stepMs.get(step) ?? STEP_GUESS_MS));
    aim.enter(currentStep);
    return aim;
  }

  async #judgeError(message: Extract<StoryMessage, { kind: 'error' }>, step: string): Promise<'gave up'> {
    if (!message.isRetryable) throw new Error(`step ${step} failed with ${message.code}:\n${message.text}`);
    this.#options.log(`devices gave up in step ${step}: ${message.code}`);
    await this.#devices?.kill();
    return 'gave up';
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

/** Knows the step that the story is in, and learns how long steps last. */
class StepClock {
  step = 'start';
  readonly #lengths: Map<string, number>;
  #enteredAt = performance.now();

  constructor(lengths: Map<string, number>) {
    this.#lengths = lengths;
  }

  enter(step: string): void {
    const now = performance.now();
    this.#lengths.set(this.step, now - this.#enteredAt);
    this.step = step;
    this.#enteredAt = now;
  }
}

/** A moment in a step: `isDue` resolves that long after the step was entered, if it ever is. */
class Aim {
  readonly isDue: Promise<'due'>;
  readonly #step: string;
  readonly #delayMs: number;
  readonly #resolve: (value: 'due') => void;

  constructor(step: string, delayMs: number) {
    const due = Promise.withResolvers<'due'>();
    this.isDue = due.promise;
    this.#resolve = due.resolve;
    this.#step = step;
    this.#delayMs = delayMs;
  }

  enter(step: string): void {
    if (step === this.#step) setTimeout(() => this.#resolve('due'), this.#delayMs);
  }
}
