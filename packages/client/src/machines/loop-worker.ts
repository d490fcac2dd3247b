/*
 *   held ──gateOpened──► asleep ──wanted, kicked──► running ──failed──► waiting ──timer, kicked──► running
 *                          │  ▲                      ▲  │ │
 *                   written│  └──────────finished────┼──┘ └──stalled──► stalled ──wanted, kicked──► running
 *                          ▼                         │                     └──────written─────────► settling
 *                       settling ──timer, wanted─────┘
 *
 *   gateClosed leads to held from everywhere; an upload worker goes from held straight to running.
 */

/**
 * One worker of the background loop: uploads or pulls. `running` means that one operation is under way. Times are monotonic
 * milliseconds; a state that waits says when it is due, and the shell holds exactly one timer for it.
 */
export type WorkerState =
  /** Offline, hidden, paused or not attached. `notBeforeMs` keeps what a server asked for across the closure. */
  | { readonly name: 'held'; readonly notBeforeMs: number }
  | { readonly name: 'asleep' }
  /** Local writes wait for company. `firstMs` is the time of the first one. */
  | { readonly name: 'settling'; readonly firstMs: number; readonly dueMs: number }
  | {
      readonly name: 'running';
      /** Failures in a row before this attempt. */
      readonly failures: number;
      /** Asked for during the operation: one more follows, however often it was asked. */
      readonly isWantedAgain: boolean;
      /** Local writes during the operation. */
      readonly written: { readonly firstMs: number; readonly lastMs: number } | null;
    }
  /** Back-off. Before `notBeforeMs` not even a kick helps: a server asked for the wait. */
  | { readonly name: 'waiting'; readonly failures: number; readonly dueMs: number; readonly notBeforeMs: number }
  /** No attempt of its own accord. */
  | { readonly name: 'stalled' };

export type WorkerEvent =
  | { readonly name: 'gateOpened'; readonly atMs: number }
  | { readonly name: 'gateClosed' }
  /** Reason for an operation now: the start, a watch event, the interval. */
  | { readonly name: 'wanted' }
  /** Reason for an operation soon. */
  | { readonly name: 'written'; readonly atMs: number }
  | { readonly name: 'kicked'; readonly atMs: number }
  | { readonly name: 'timerFired'; readonly atMs: number }
  /** `hasMore`: it made progress and left rows behind. */
  | { readonly name: 'finished'; readonly atMs: number; readonly hasMore: boolean }
  | { readonly name: 'failed'; readonly dueMs: number; readonly notBeforeMs: number }
  | { readonly name: 'stalled' };

export interface WorkerRules {
  readonly debounceMs: number;
  readonly maxDelayMs: number;
  /** True: an opened gate is a reason to run (rows may wait). False: somebody else decides (the watch stream). */
  readonly runsWhenOpened: boolean;
}

export const WORKER_START: WorkerState = { name: 'held', notBeforeMs: 0 };

const ASLEEP: WorkerState = { name: 'asleep' };
const STALLED: WorkerState = { name: 'stalled' };

type Running = Extract<WorkerState, { name: 'running' }>;

function running(failures: number): Running {
  return { name: 'running', failures, isWantedAgain: false, written: null };
}

/** Pure. Returns `state` itself when the event means nothing there. */
export function nextWorkerState(state: WorkerState, event: WorkerEvent, rules: WorkerRules): WorkerState {
  switch (event.name) {
    case 'gateOpened':
      return state.name === 'held' ? opened(state.notBeforeMs, event.atMs, rules) : state;
    case 'gateClosed':
      return closed(state);
    case 'wanted':
      return afterWanted(state);
    case 'written':
      return afterWritten(state, event.atMs, rules);
    case 'kicked':
      return afterKick(state, event.atMs);
    case 'timerFired':
      return afterTimer(state, event.atMs);
    case 'finished':
      return state.name === 'running' ? afterFinish(state, event, rules) : state;
    case 'failed':
      return state.name === 'running' ? afterFailure(state, event) : state;
    case 'stalled':
      return state.name === 'running' ? STALLED : state;
  }
}

/** When the shell has to report `timerFired`; `null` for states that wait for nothing. */
export function workerDueMs(state: WorkerState): number | null {
  return state.name === 'settling' || state.name === 'waiting' ? state.dueMs : null;
}

function opened(notBeforeMs: number, atMs: number, rules: WorkerRules): WorkerState {
  if (atMs < notBeforeMs) return { name: 'waiting', failures: 0, dueMs: notBeforeMs, notBeforeMs };
  return rules.runsWhenOpened ? running(0) : ASLEEP;
}

function closed(state: WorkerState): WorkerState {
  if (state.name === 'held') return state;
  return { name: 'held', notBeforeMs: state.name === 'waiting' ? state.notBeforeMs : 0 };
}

function afterWanted(state: WorkerState): WorkerState {
  switch (state.name) {
    case 'held':
    case 'waiting':
      return state;
    case 'running':
      return state.isWantedAgain ? state : { ...state, isWantedAgain: true };
    case 'asleep':
    case 'settling':
    case 'stalled':
      return running(0);
  }
}

function afterWritten(state: WorkerState, atMs: number, rules: WorkerRules): WorkerState {
  switch (state.name) {
    case 'held':
    case 'waiting':
      return state;
    case 'running':
      return { ...state, written: { firstMs: state.written?.firstMs ?? atMs, lastMs: atMs } };
    case 'settling':
      return settling(state.firstMs, atMs, rules);
    case 'asleep':
    case 'stalled':
      return settling(atMs, atMs, rules);
  }
}

function settling(firstMs: number, lastMs: number, rules: WorkerRules): WorkerState {
  return { name: 'settling', firstMs, dueMs: Math.min(lastMs + rules.debounceMs, firstMs + rules.maxDelayMs) };
}

function afterKick(state: WorkerState, atMs: number): WorkerState {
  if (state.name !== 'waiting') return afterWanted(state);
  if (atMs >= state.notBeforeMs) return running(0);
  return state.dueMs === state.notBeforeMs ? state : { ...state, dueMs: state.notBeforeMs };
}

function afterTimer(state: WorkerState, atMs: number): WorkerState {
  if ((state.name !== 'settling' && state.name !== 'waiting') || atMs < state.dueMs) return state;
  return running(state.name === 'waiting' ? state.failures : 0);
}

function afterFinish(state: Running, event: Extract<WorkerEvent, { name: 'finished' }>, rules: WorkerRules): WorkerState {
  if (state.isWantedAgain) return running(0);
  if (state.written !== null) return settling(state.written.firstMs, state.written.lastMs, rules);
  return event.hasMore ? settling(event.atMs, event.atMs, rules) : ASLEEP;
}

function afterFailure(state: Running, event: Extract<WorkerEvent, { name: 'failed' }>): WorkerState {
  const { dueMs, notBeforeMs } = event;
  return { name: 'waiting', failures: state.failures + 1, dueMs, notBeforeMs };
}
