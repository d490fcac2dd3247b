import type { ErrorCode } from './error-table.ts';
import { isSyncError } from './sync-error.ts';

const PRECONDITIONS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'open_required',
  'attach_required',
  'source_recovery_required',
]);

/**
 * True when a call was refused because another operation of the same client was running. It can be made again when that operation has
 * ended. False for anything else, also for what is no error.
 *
 * @example
 * client.pushPending().catch((error: unknown) => {
 *   if (!isContention(error)) throw error;
 * });
 */
export function isContention(error: unknown): boolean {
  return isSyncError(error) && error.code === 'operation_in_progress';
}

/**
 * True when a step has to come before the call can succeed: `open()` (`open_required`), `attach()` (`attach_required`) or `rebuild()`
 * (`source_recovery_required`). False for anything else, also for what is no error.
 *
 * @example
 * try {
 *   await client.sync();
 * } catch (error) {
 *   if (isPrecondition(error)) await showSignIn();
 *   else throw error;
 * }
 */
export function isPrecondition(error: unknown): boolean {
  return isSyncError(error) && PRECONDITIONS.has(error.code);
}
