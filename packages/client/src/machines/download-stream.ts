/*
 *   held ──gateOpened──► connecting ──connected──► open ──ended──┐
 *     │                   ▲   ▲   │                              ▼
 *     │             timer │   │   ├─refused(reconnect)──► catchingUp(reconnect) ──pullSettled──► reconnecting ──timer──► connecting
 *     │                   │   │   │
 *     │  no watch         │   │   └─unsupported, refused(poll)──┐
 *     └───────────────────┼───┼─────────────────────────────────┤
 *                         │   │                                 ▼
 *                       resting ◄──────pullSettled── catchingUp(rest)
 *
 *   gateClosed leads to held from everywhere. Without watching, resting goes back to catchingUp(rest).
 */

/**
 * Who decides that a pull is due: a watch stream, or an interval. Entering `catchingUp` asks the pull worker for one pull; the state
 * ends when that attempt is over, whatever came out of it. Times are monotonic milliseconds; `delayMs` is the next reconnect delay;
 * before `notBeforeMs` the server does not want to be asked for a stream again.
 */
export type StreamState =
  | { readonly name: 'held' }
  | { readonly name: 'connecting'; readonly delayMs: number }
  | { readonly name: 'open'; readonly delayMs: number; readonly openedMs: number }
  | { readonly name: 'catchingUp'; readonly after: 'rest'; readonly notBeforeMs: number }
  | { readonly name: 'catchingUp'; readonly after: 'reconnect'; readonly delayMs: number; readonly notBeforeMs: number }
  | { readonly name: 'reconnecting'; readonly delayMs: number; readonly dueMs: number; readonly notBeforeMs: number }
  | { readonly name: 'resting'; readonly dueMs: number; readonly notBeforeMs: number };

export type StreamEvent =
  | { readonly name: 'gateOpened' }
  | { readonly name: 'gateClosed' }
  | { readonly name: 'connected'; readonly atMs: number }
  /** The server has no watch streams. */
  | { readonly name: 'unsupported' }
  | { readonly name: 'refused'; readonly after: 'reconnect' | 'poll'; readonly notBeforeMs: number }
  | { readonly name: 'eventReceived' }
  | { readonly name: 'ended'; readonly atMs: number }
  /** `waitShare` is 1 plus the jitter of this one wait. */
  | { readonly name: 'pullSettled'; readonly atMs: number; readonly waitShare: number }
  | { readonly name: 'kicked'; readonly atMs: number }
  | { readonly name: 'timerFired'; readonly atMs: number };

export interface StreamRules {
  readonly watches: boolean;
  readonly intervalMs: number;
  readonly reconnectMinMs: number;
  readonly reconnectMaxMs: number;
  /** Life of a stream after which its end counts as a new misfortune. */
  readonly healthyMs: number;
}

export const STREAM_START: StreamState = { name: 'held' };

const PULL_AND_REST: StreamState = { name: 'catchingUp', after: 'rest', notBeforeMs: 0 };

/** Pure. Returns `state` itself when the event means nothing there. */
export function nextStreamState(state: StreamState, event: StreamEvent, rules: StreamRules): StreamState {
  switch (event.name) {
    case 'gateOpened':
      return state.name === 'held' ? begin(rules) : state;
    case 'gateClosed':
      return state.name === 'held' ? state : STREAM_START;
    case 'connected':
      return state.name === 'connecting' ? { name: 'open', delayMs: state.delayMs, openedMs: event.atMs } : state;
    case 'unsupported':
      return state.name === 'connecting' ? PULL_AND_REST : state;
    case 'refused':
      return state.name === 'connecting' ? afterRefusal(state.delayMs, event) : state;
    case 'eventReceived':
      return state.name === 'open' ? { ...state, delayMs: rules.reconnectMinMs } : state;
    case 'ended':
      return state.name === 'open' ? afterEnd(state, event.atMs, rules) : state;
    case 'pullSettled':
      return state.name === 'catchingUp' ? afterPull(state, event, rules) : state;
    case 'kicked':
      return afterKick(state, event.atMs, rules);
    case 'timerFired':
      return afterTimer(state, event.atMs, rules);
  }
}

/** When the shell has to report `timerFired`; `null` for states that wait for nothing. */
export function streamDueMs(state: StreamState): number | null {
  return state.name === 'resting' || state.name === 'reconnecting' ? state.dueMs : null;
}

function afterKick(state: StreamState, atMs: number, rules: StreamRules): StreamState {
  const isWaiting = state.name === 'resting' || state.name === 'reconnecting';
  return isWaiting && atMs >= state.notBeforeMs ? begin(rules) : state;
}

function begin(rules: StreamRules): StreamState {
  return rules.watches ? { name: 'connecting', delayMs: rules.reconnectMinMs } : PULL_AND_REST;
}

function afterRefusal(delayMs: number, event: Extract<StreamEvent, { name: 'refused' }>): StreamState {
  const { after, notBeforeMs } = event;
  if (after === 'poll') return { name: 'catchingUp', after: 'rest', notBeforeMs };
  return { name: 'catchingUp', after: 'reconnect', delayMs, notBeforeMs };
}

function afterEnd(state: Extract<StreamState, { name: 'open' }>, atMs: number, rules: StreamRules): StreamState {
  const wasHealthy = atMs - state.openedMs >= rules.healthyMs;
  return { name: 'catchingUp', after: 'reconnect', delayMs: wasHealthy ? rules.reconnectMinMs : state.delayMs, notBeforeMs: 0 };
}

function afterPull(
  state: Extract<StreamState, { name: 'catchingUp' }>,
  event: Extract<StreamEvent, { name: 'pullSettled' }>,
  rules: StreamRules,
): StreamState {
  const { notBeforeMs } = state;
  if (state.after === 'rest')
    return { name: 'resting', dueMs: Math.max(event.atMs + rules.intervalMs, notBeforeMs), notBeforeMs };
  const delayMs = Math.min(state.delayMs * 2, rules.reconnectMaxMs);
  const dueMs = Math.max(event.atMs + state.delayMs * event.waitShare, notBeforeMs);
  return { name: 'reconnecting', delayMs, dueMs, notBeforeMs };
}

function afterTimer(state: StreamState, atMs: number, rules: StreamRules): StreamState {
  if (state.name === 'resting' && atMs >= state.dueMs) return begin(rules);
  if (state.name === 'reconnecting' && atMs >= state.dueMs) return { name: 'connecting', delayMs: state.delayMs };
  return state;
}
