import { ERROR_TABLE } from './error-table.ts';
import type { ErrorCode, Recovery } from './error-table.ts';

/** Everything about a {@link SyncError} beyond its code. */
export interface SyncErrorOptions {
  /** Replaces the fixed message of the table. Never put keys, payloads or credentials here. */
  readonly message?: string;
  /** The operation that failed, for example `pushPending`. */
  readonly operation?: string;
  /** Structured facts. Members of an HTTP error body keep their wire names. */
  readonly details?: Readonly<Record<string, unknown>>;
  /** What a server asked for, in milliseconds. */
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

const INSPECT: unique symbol = Symbol.for('nodejs.util.inspect.custom');

/** Errors about a set-up: their details are names from the configuration, never rows. */
const SETUP_CODES: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['config_invalid', 'table_contract_mismatch']);

/** Deep enough for the lists in `details`, which hold flat objects with lists of names. */
const INSPECT_DEPTH = 5;

const NO_DETAILS: Readonly<Record<string, unknown>> = Object.freeze({});

/** Two codes stand for situations that differ in what helps. */
function recoveryOf(code: ErrorCode, details: Readonly<Record<string, unknown>>): Recovery {
  const status = details['status'];
  if (code === 'http_error' && typeof status === 'number' && status >= 500) return 'retry';
  if (code === 'checkpoint_recovery_blocked' && details['reason'] === 'upload_paused') return 'resolve';
  return ERROR_TABLE[code].recovery;
}

/**
 * The one error class of the library.
 *
 * Decide on `code`, `recovery` and `details`; `message` is for developers and may change. Expected outcomes are
 * results, never errors.
 *
 * @example
 * try {
 *   await client.sync();
 * } catch (error) {
 *   if (isSyncError(error) && error.recovery === 'reauthenticate') await signInAgain();
 *   else throw error;
 * }
 */
export class SyncError extends Error {
  override readonly name = 'SyncError';
  readonly code: ErrorCode;
  readonly operation: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;
  readonly recovery: Recovery;
  /** True exactly when `recovery` is `retry`. */
  readonly retryable: boolean;
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, options: SyncErrorOptions = {}) {
    super(options.message ?? ERROR_TABLE[code].message, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.operation = options.operation;
    this.details = options.details ?? NO_DETAILS;
    this.recovery = recoveryOf(code, this.details);
    this.retryable = this.recovery === 'retry';
    this.retryAfterMs = options.retryAfterMs;
  }

  /** What `console.log` shows under Node, Bun and Deno: of a wrong set-up everything that is wrong, instead of `[Object]`. */
  [INSPECT](_depth: number, options: object, inspect: (value: unknown, options: object) => string): string {
    const depth = SETUP_CODES.has(this.code) ? { depth: INSPECT_DEPTH } : {};
    return inspect(this, { ...options, ...depth, customInspect: false });
  }
}

/** True for a {@link SyncError}, also for one from another copy of this package. */
export function isSyncError(value: unknown): value is SyncError {
  if (value instanceof SyncError) return true;
  return value instanceof Error && value.name === 'SyncError' && 'code' in value && 'recovery' in value;
}
