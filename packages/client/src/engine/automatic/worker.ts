import type { WorkerRules, WorkerState } from '../../machines/loop-worker.ts';
import { WORKER_START, nextWorkerState, workerDueMs } from '../../machines/loop-worker.ts';
import type { PartActivity } from '../../rules/loop-status.ts';
import { Activity } from './activity.ts';
import type { LoopContext } from './loop-context.ts';
import { nextAttempt } from './loop-context.ts';
import { Part } from './part.ts';
import type { LoopPart } from './status-board.ts';

/** One attempt of a worker. Resolves with whether it made progress and left rows behind. */
export type WorkerOperation = (signal: AbortSignal) => Promise<{ readonly hasMore: boolean }>;

/** Drives one worker machine with one operation. */
export class Worker {
  readonly #context: LoopContext;
  readonly #name: LoopPart;
  readonly #operation: WorkerOperation;
  readonly #onSettled: () => void;
  readonly #activity = new Activity();
  readonly #part: Part<WorkerState, Parameters<typeof nextWorkerState>[1]>;

  /** `onSettled` is called whenever an attempt is over, also when it was aborted. */
  constructor(context: LoopContext, name: LoopPart, rules: WorkerRules, operation: WorkerOperation, onSettled: () => void) {
    this.#context = context;
    this.#name = name;
    this.#operation = operation;
    this.#onSettled = onSettled;
    const machine = {
      start: WORKER_START,
      next: (state: WorkerState, event: Parameters<typeof nextWorkerState>[1]) => nextWorkerState(state, event, rules),
      dueMs: workerDueMs,
      timerFired: (atMs: number) => ({ name: 'timerFired', atMs }) as const,
    };
    this.#part = new Part(machine, context.clock, (state) => this.#act(state));
  }

  get stateName(): WorkerState['name'] {
    return this.#part.state.name;
  }

  get activity(): PartActivity {
    switch (this.#part.state.name) {
      case 'running':
        return 'running';
      case 'waiting':
        return 'waiting';
      case 'stalled':
        return 'stalled';
      case 'held':
        return 'closed';
      case 'asleep':
      case 'settling':
        return 'resting';
    }
  }

  setGate(isOpen: boolean): void {
    this.#part.send(isOpen ? { name: 'gateOpened', atMs: this.#context.clock.monotonicMs() } : { name: 'gateClosed' });
  }

  want(): void {
    this.#part.send({ name: 'wanted' });
  }

  written(): void {
    this.#part.send({ name: 'written', atMs: this.#context.clock.monotonicMs() });
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

  #act(state: WorkerState): void {
    if (state.name !== 'running') this.#leave();
    else if (!this.#activity.isActive) this.#start(state.failures);
    this.#context.partChanged();
  }

  #leave(): void {
    this.#activity.stop();
    this.#onSettled();
  }

  #start(failures: number): void {
    this.#activity.start(
      this.#operation,
      ({ hasMore }) => {
        this.#part.send({ name: 'finished', atMs: this.#context.clock.monotonicMs(), hasMore });
      },
      (error) => this.#failed(error, failures),
    );
  }

  #failed(error: unknown, failures: number): void {
    const reaction = this.#context.react(this.#name, error);
    if (reaction.kind === 'block') this.#part.send({ name: 'stalled' });
    if (reaction.kind === 'retry') this.#part.send({ name: 'failed', ...nextAttempt(this.#context, failures + 1, reaction) });
  }
}
