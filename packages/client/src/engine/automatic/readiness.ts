import type { Preparation, ReadinessState } from '../../machines/loop-readiness.ts';
import { READINESS_START, nextReadinessState, preparationOf, readinessDueMs } from '../../machines/loop-readiness.ts';
import { loopBackoffMs } from '../../rules/loop-backoff.ts';
import type { PartActivity } from '../../rules/loop-status.ts';
import { Activity } from './activity.ts';
import type { LoopContext, PartReaction } from './loop-context.ts';
import { nextAttempt } from './loop-context.ts';
import { Part } from './part.ts';

const MACHINE = {
  start: READINESS_START,
  next: nextReadinessState,
  dueMs: readinessDueMs,
  timerFired: (atMs: number) => ({ name: 'timerFired', atMs }) as const,
};

/** Attaches and recovers: what has to be done before the workers may run. */
export class Readiness {
  readonly #context: LoopContext;
  readonly #activity = new Activity();
  readonly #part: Part<ReadinessState, Parameters<typeof nextReadinessState>[1]>;

  constructor(context: LoopContext) {
    this.#context = context;
    this.#part = new Part(MACHINE, context.clock, (state) => this.#act(state));
  }

  get isReady(): boolean {
    return this.#part.state.name === 'ready';
  }

  get needsAuthentication(): boolean {
    return this.#part.state.name === 'unauthenticated';
  }

  /** The preparation that is due or under way. */
  get preparation(): Preparation | null {
    return preparationOf(this.#part.state);
  }

  get activity(): PartActivity {
    switch (this.#part.state.name) {
      case 'working':
        return 'running';
      case 'waiting':
        return 'waiting';
      case 'blocked':
        return 'stalled';
      case 'due':
      case 'unauthenticated':
        return 'closed';
      case 'unattached':
      case 'ready':
        return 'resting';
    }
  }

  /** Takes up what the application did before the loop was started. */
  begin(): void {
    const { operations, options } = this.#context;
    if (operations.isConnected()) this.#part.send({ name: 'attached' });
    else if (options.userId !== null) this.#part.send({ name: 'attachPossible' });
  }

  /** After a detach by the application nobody is attached again of the loop's own accord. */
  attachmentChanged(change: 'attached' | 'detached'): void {
    this.#part.send({ name: change });
  }

  setGate(isOpen: boolean): void {
    this.#part.send(isOpen ? { name: 'gateOpened', atMs: this.#context.clock.monotonicMs() } : { name: 'gateClosed' });
  }

  recover(task: Preparation): void {
    if (task === 'attach' && this.#userId() === null) {
      this.#part.send({ name: 'detached' });
      return;
    }
    const { options, clock, random } = this.#context;
    const { state } = this.#part;
    const setbacks = 'setbacks' in state ? state.setbacks : 0;
    const dueMs = clock.monotonicMs() + loopBackoffMs(options, setbacks, random.fraction());
    this.#part.send({ name: 'recoveryNeeded', task, dueMs });
  }

  refused(): void {
    this.#part.send({ name: 'refused' });
  }

  progressed(): void {
    this.#part.send({ name: 'progressed' });
  }

  kick(): void {
    this.#part.send({ name: 'kicked', atMs: this.#context.clock.monotonicMs() });
  }

  close(): Promise<void> {
    this.#part.close();
    this.#activity.stop();
    return this.#activity.settled();
  }

  settled(): Promise<void> {
    return this.#activity.settled();
  }

  #act(state: ReadinessState): void {
    if (state.name !== 'working') this.#activity.stop();
    else if (!this.#activity.isActive) this.#start(state.task, state.setbacks);
    if (state.name === 'ready' || state.name === 'unattached') this.#context.board.succeeded('readiness');
    this.#context.partChanged();
  }

  #start(task: Preparation, setbacks: number): void {
    this.#activity.start(
      (signal) => (task === 'attach' ? this.#attach(signal) : this.#rebuild(signal)),
      (waitMs) => this.#finished(waitMs),
      (error) => this.#failed(this.#context.react('readiness', error), setbacks),
    );
  }

  /** Resolves with 0, or with the wait a server asked for. */
  async #attach(signal: AbortSignal): Promise<number> {
    const userId = this.#userId();
    if (userId === null) return 0;
    const result = await this.#context.operations.attach(userId, signal);
    return result.status === 'connected' ? 0 : result.retryAfterMs;
  }

  async #rebuild(signal: AbortSignal): Promise<number> {
    await this.#context.operations.rebuild(signal);
    return 0;
  }

  #finished(waitMs: number): void {
    if (waitMs === 0) {
      const { board, clock } = this.#context;
      board.update({ lastSyncedAt: clock.epochMs() });
      this.#part.send({ name: 'succeeded' });
      return;
    }
    const dueMs = this.#context.clock.monotonicMs() + waitMs;
    this.#part.send({ name: 'failed', dueMs, notBeforeMs: dueMs });
  }

  #failed(reaction: PartReaction, setbacks: number): void {
    if (reaction.kind === 'block') this.#part.send({ name: 'blocked' });
    if (reaction.kind === 'retry') this.#part.send({ name: 'failed', ...nextAttempt(this.#context, setbacks + 1, reaction) });
  }

  #userId(): string | null {
    return this.#context.options.userId ?? this.#context.operations.lastUserId();
  }
}
