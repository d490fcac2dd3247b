import { ERROR_TABLE, isSyncError, isWireErrorCode, SyncError } from '@oversync/protocol';
import type { ErrorCode } from '@oversync/protocol';

import type { Logger } from '../engine/events.ts';
import { toServiceUnavailable } from '../engine/transaction.ts';
import { PgFault } from '../ports/postgres.ts';
import { isTransientFault } from '../rules/pg-faults.ts';

export interface WireFault {
  readonly error: SyncError;
  readonly status: number;
}

/** Facts of the request for the log line of an unexpected fault. */
export interface FaultContext {
  readonly failureCode: ErrorCode;
  readonly correlationId: string;
  readonly logger: Logger;
  /** Aborted when the client went away: nobody reads the answer, and the abort is no fault. */
  readonly clientSignal?: AbortSignal;
}

/**
 * What the client gets for whatever was thrown. An unexpected fault is logged with its cause and a correlation id; the client sees
 * the fixed message of the operation's 500 code and nothing of the cause.
 */
export function toWireFault(thrown: unknown, context: FaultContext): WireFault {
  const error = chooseError(thrown, context);
  return { error, status: ERROR_TABLE[error.code].status ?? 500 };
}

function chooseError(thrown: unknown, context: FaultContext): SyncError {
  if (isSyncError(thrown) && isWireErrorCode(thrown.code)) {
    if ((ERROR_TABLE[thrown.code].status ?? 500) === 500) logFault(thrown, context);
    return thrown;
  }
  if (thrown instanceof PgFault && isTransientFault(thrown)) return toServiceUnavailable(thrown);
  if (context.clientSignal?.aborted === true)
    return new SyncError('service_unavailable', { message: 'the client went away', cause: thrown });
  logFault(thrown, context);
  return new SyncError(context.failureCode, { cause: thrown });
}

function logFault(cause: unknown, context: FaultContext): void {
  context.logger.error('request failed', { code: context.failureCode, correlationId: context.correlationId, cause });
}
