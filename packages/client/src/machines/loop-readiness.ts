/*
 *   unattached ──attachPossible──► due ──gateOpened──► working ──succeeded──► ready
 *        │                         ▲ ▲                 │ │ │ │                 │ │
 *        │ attached                │ └────gateClosed───┘ │ │ └─refused─►───────┼─┴─refused──► unauthenticated
 *        └──────────► ready        │                     │ └─blocked─► blocked │
 *                                  └─timer─ waiting ◄────┘ failed              │ recoveryNeeded
 *                                              ▲                               ▼
 *                                              └── the last recovery did not help, else ──► due
 *
 *   kicked leads from waiting, blocked and unauthenticated back to due (or ready); detached leads to unattached from everywhere.
 */

/** What has to be done before uploads and downloads make sense. */
export type Preparation = 'attach' | 'rebuild';

/**
 * Whether the loop may upload and download at all: somebody is attached, and no recovery is due. Times are monotonic milliseconds.
 *
 * `setbacks` counts failed attempts, and recoveries after which the workers got nothing done: a recovery that does not help must not be
 * repeated at full speed.
 */
export type ReadinessState =
  /** No user is known: an explicit `attach` of the application ends this. */
  | { readonly name: 'unattached' }
  | { readonly name: 'due'; readonly task: Preparation; readonly setbacks: number; readonly notBeforeMs: number }
  | { readonly name: 'working'; readonly task: Preparation; readonly setbacks: number }
  | {
      readonly name: 'waiting';
      readonly task: Preparation;
      readonly setbacks: number;
      readonly dueMs: number;
      readonly notBeforeMs: number;
    }
  /** `task` is `null` when a worker, not a preparation, was refused. */
  | { readonly name: 'unauthenticated'; readonly task: Preparation | null }
  | { readonly name: 'blocked'; readonly task: Preparation }
  | { readonly name: 'ready'; readonly setbacks: number };

export type ReadinessEvent =
  /** The loop is to attach a user itself. */
  | { readonly name: 'attachPossible' }
  /** The client is connected: attached before, or by an explicit call. */
  | { readonly name: 'attached' }
  | { readonly name: 'detached' }
  | { readonly name: 'gateOpened'; readonly atMs: number }
  | { readonly name: 'gateClosed' }
  | { readonly name: 'succeeded' }
  | { readonly name: 'failed'; readonly dueMs: number; readonly notBeforeMs: number }
  | { readonly name: 'blocked' }
  /** The server does not accept the credentials. */
  | { readonly name: 'refused' }
  /** From a worker, or from a preparation that needs the other one first. `dueMs` counts only after a setback. */
  | { readonly name: 'recoveryNeeded'; readonly task: Preparation; readonly dueMs: number }
  /** A worker got something done. */
  | { readonly name: 'progressed' }
  | { readonly name: 'kicked'; readonly atMs: number }
  | { readonly name: 'timerFired'; readonly atMs: number };

const UNATTACHED: ReadinessState = { name: 'unattached' };
const READY: ReadinessState = { name: 'ready', setbacks: 0 };

export const READINESS_START: ReadinessState = UNATTACHED;

function due(task: Preparation, setbacks = 0, notBeforeMs = 0): ReadinessState {
  return { name: 'due', task, setbacks, notBeforeMs };
}

/** Pure. Returns `state` itself when the event means nothing there. */
export function nextReadinessState(state: ReadinessState, event: ReadinessEvent): ReadinessState {
  switch (event.name) {
    case 'attachPossible':
      return state.name === 'unattached' ? due('attach') : state;
    case 'attached':
      return hasToAttach(state) ? READY : state;
    case 'detached':
      return state.name === 'unattached' ? state : UNATTACHED;
    case 'gateOpened':
      return opened(state, event.atMs);
    case 'gateClosed':
      return closed(state);
    case 'succeeded':
      return state.name === 'working' ? { name: 'ready', setbacks: state.setbacks } : state;
    case 'failed':
      return afterFailure(state, event);
    case 'blocked':
      return state.name === 'working' ? { name: 'blocked', task: state.task } : state;
    case 'refused':
      return afterRefusal(state);
    case 'recoveryNeeded':
      return afterRecoveryNeeded(state, event.task, event.dueMs);
    case 'progressed':
      return state.name === 'ready' && state.setbacks > 0 ? READY : state;
    case 'kicked':
      return afterKick(state, event.atMs);
    case 'timerFired':
      return state.name === 'waiting' && event.atMs >= state.dueMs ? due(state.task, state.setbacks) : state;
  }
}

/** When the shell has to report `timerFired`; `null` for states that wait for nothing. */
export function readinessDueMs(state: ReadinessState): number | null {
  return state.name === 'waiting' ? state.dueMs : null;
}

/** The preparation that a state is about; `null` when there is none. */
export function preparationOf(state: ReadinessState): Preparation | null {
  return 'task' in state ? state.task : null;
}

/** An explicit attach also ends the loop's own attempts; it says nothing about a rebuild. */
function hasToAttach(state: ReadinessState): boolean {
  return state.name === 'unattached' || preparationOf(state) === 'attach';
}

function opened(state: ReadinessState, atMs: number): ReadinessState {
  if (state.name !== 'due') return state;
  const { task, setbacks, notBeforeMs } = state;
  if (atMs >= notBeforeMs) return { name: 'working', task, setbacks };
  return { name: 'waiting', task, setbacks, dueMs: notBeforeMs, notBeforeMs };
}

function closed(state: ReadinessState): ReadinessState {
  if (state.name === 'working') return due(state.task, state.setbacks);
  if (state.name === 'blocked') return due(state.task);
  return state.name === 'waiting' ? due(state.task, state.setbacks, state.notBeforeMs) : state;
}

function afterFailure(state: ReadinessState, event: Extract<ReadinessEvent, { name: 'failed' }>): ReadinessState {
  if (state.name !== 'working') return state;
  const { dueMs, notBeforeMs } = event;
  return { name: 'waiting', task: state.task, setbacks: state.setbacks + 1, dueMs, notBeforeMs };
}

function afterRefusal(state: ReadinessState): ReadinessState {
  if (state.name === 'working') return { name: 'unauthenticated', task: state.task };
  return state.name === 'ready' ? { name: 'unauthenticated', task: null } : state;
}

function afterRecoveryNeeded(state: ReadinessState, task: Preparation, dueMs: number): ReadinessState {
  const isOtherPreparation = state.name === 'working' && state.task !== task;
  if (state.name !== 'ready' && !isOtherPreparation) return state;
  if (state.name === 'ready' && state.setbacks === 0) return due(task, 1);
  return { name: 'waiting', task, setbacks: state.setbacks + 1, dueMs, notBeforeMs: 0 };
}

function afterKick(state: ReadinessState, atMs: number): ReadinessState {
  switch (state.name) {
    case 'unauthenticated':
      return state.task === null ? READY : due(state.task);
    case 'blocked':
      return due(state.task);
    case 'waiting':
      return due(state.task, state.setbacks, atMs >= state.notBeforeMs ? 0 : state.notBeforeMs);
    case 'unattached':
    case 'due':
    case 'working':
    case 'ready':
      return state;
  }
}
