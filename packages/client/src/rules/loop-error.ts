import type { ErrorCode, SyncError } from '@oversync/protocol';

/**
 * What the loop does about an error of one of its operations.
 *
 * - `retry`: again after a back-off.
 * - `retryLater`: again after the longest back-off; somebody has to change the server, and nobody will restart every device then.
 * - `rebuild`, `attach`: recover first.
 * - `authenticate`: nothing until a kick or a resume.
 * - `block`: nothing until something changes: a local write, a kick, a resume, the network.
 * - `stop`: the loop is over.
 */
export type LoopReaction = 'retry' | 'retryLater' | 'rebuild' | 'attach' | 'authenticate' | 'block' | 'stop';

/** Faults that no later attempt of this client can outlive (client.md 9.2). */
const TERMINAL: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'protocol_version_mismatch',
  'table_contract_mismatch',
  'database_owned',
  'client_closed',
]);

const REATTACH: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['initialization_lost', 'attach_required']);

/** Left to the application, but the next attempt decides differently: an unchanged invalid resolution quarantines its row (client.md 6.7). */
const SETTLED_BY_REPEATING: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'conflict_resolution_invalid',
  'resolver_failed',
  'conflict_retry_exhausted',
]);

/** Pure. Decides on code and recovery only. */
export function decideLoopReaction(error: SyncError, autoRecover: boolean): LoopReaction {
  if (TERMINAL.has(error.code)) return 'stop';
  if (REATTACH.has(error.code)) return autoRecover ? 'attach' : 'block';
  if (SETTLED_BY_REPEATING.has(error.code)) return 'retry';
  switch (error.recovery) {
    case 'retry':
      return 'retry';
    case 'rebuild':
      return autoRecover ? 'rebuild' : 'block';
    case 'reauthenticate':
      return 'authenticate';
    case 'resolve':
      return 'block';
    case 'stop':
      return 'retryLater';
  }
}

/** How the loop goes on after a watch stream could not be opened. */
export type WatchRefusal = 'reconnect' | 'poll' | 'stop';

/** The server does not want this client to watch now: the interval takes over for one round. */
const POLL_INSTEAD: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'bundle_change_watch_forbidden',
  'bundle_change_watch_disabled',
  'bundle_change_watch_capacity',
]);

/** Pure. Any other refusal is an interruption like a lost stream: one pull, then a reconnect. */
export function decideWatchRefusal(error: SyncError): WatchRefusal {
  if (TERMINAL.has(error.code)) return 'stop';
  return POLL_INSTEAD.has(error.code) ? 'poll' : 'reconnect';
}
