import { SyncError } from '@oversync/protocol';

import * as limits from '../limits.ts';
import type { CapacityRetryPolicy, RetryPolicy } from './retry.ts';

/** Options that are numbers, with their bounds. Durations are milliseconds, sizes bytes. */
export interface NumberOptions {
  readonly uploadLimit: number;
  readonly uploadChunkBytes: number;
  readonly maxRowsPerPush: number;
  readonly maxBytesPerPush: number;
  readonly downloadLimit: number;
  readonly snapshotChunkRows: number;
  readonly snapshotChunkBytes: number;
  readonly snapshotApplyBatchRows: number;
  readonly snapshotApplyBatchBytes: number;
  readonly applyBatchRows: number;
  readonly applyBatchBytes: number;
  readonly conflictRetryLimit: number;
  readonly quarantineLimit: number;
  readonly outcomeLimit: number;
  readonly requestTimeoutMs: number;
  readonly bulkRequestTimeoutMs: number;
  readonly bodyIdleTimeoutMs: number;
  readonly watchIdleTimeoutMs: number;
  readonly capabilitiesMaxAgeMs: number;
}

interface NumberRule {
  readonly fallback: number;
  readonly min: number;
  readonly max: number;
}

const INT32_MAX = 2_147_483_647;
const GIB = 1024 * 1024 * 1024;

function rule(fallback: number, min = 1, max = INT32_MAX): NumberRule {
  return { fallback, min, max };
}

const NUMBER_RULES: Readonly<Record<keyof NumberOptions, NumberRule>> = {
  uploadLimit: rule(limits.UPLOAD_CHUNK_ROWS, 1, 100_000),
  uploadChunkBytes: rule(limits.UPLOAD_CHUNK_BYTES, 1, GIB),
  maxRowsPerPush: rule(limits.PUSH_ROWS_MAX, 1, 1_000_000),
  maxBytesPerPush: rule(limits.PUSH_BYTES_MAX, 1, GIB),
  downloadLimit: rule(limits.DOWNLOAD_LIMIT, 1, 5000),
  snapshotChunkRows: rule(limits.SNAPSHOT_CHUNK_ROWS, 1, 100_000),
  snapshotChunkBytes: rule(limits.SNAPSHOT_CHUNK_BYTES, 1, GIB),
  snapshotApplyBatchRows: rule(limits.SNAPSHOT_APPLY_BATCH_ROWS, 1, 100_000),
  snapshotApplyBatchBytes: rule(limits.SNAPSHOT_APPLY_BATCH_BYTES, 1, GIB),
  applyBatchRows: rule(limits.APPLY_BATCH_ROWS, 1, 100_000),
  applyBatchBytes: rule(limits.APPLY_BATCH_BYTES, 1, GIB),
  conflictRetryLimit: rule(limits.CONFLICT_RETRIES_MAX, 0, 100),
  quarantineLimit: rule(limits.QUARANTINE_LIMIT, 0),
  outcomeLimit: rule(limits.OUTCOME_LIMIT, 0),
  requestTimeoutMs: rule(limits.REQUEST_TIMEOUT_MS),
  bulkRequestTimeoutMs: rule(limits.BULK_REQUEST_TIMEOUT_MS),
  bodyIdleTimeoutMs: rule(limits.BODY_IDLE_TIMEOUT_MS),
  watchIdleTimeoutMs: rule(limits.WATCH_IDLE_TIMEOUT_MS),
  capabilitiesMaxAgeMs: rule(0, 0),
};

const DEFAULT_RETRY: RetryPolicy = {
  enabled: true,
  maxAttempts: limits.RETRY_ATTEMPTS_MAX,
  initialBackoffMs: limits.RETRY_INITIAL_BACKOFF_MS,
  maxBackoffMs: limits.RETRY_BACKOFF_MAX_MS,
  jitterRatio: limits.RETRY_JITTER_RATIO,
};

const DEFAULT_CAPACITY: CapacityRetryPolicy = {
  enabled: true,
  maxWaitMs: limits.CAPACITY_WAIT_MAX_MS,
  fallbackDelayMs: limits.CAPACITY_FALLBACK_DELAY_MS,
  jitterRatio: limits.CAPACITY_JITTER_RATIO,
};

/** Every option name that `createSyncClient` knows; any other is refused, so that a misspelt option is noticed. */
export const OPTION_NAMES: ReadonlySet<string> = new Set([
  ...Object.keys(NUMBER_RULES),
  'driver',
  'baseUrl',
  'headers',
  'schema',
  'tables',
  'resolver',
  'pullWithPending',
  'transitionWrites',
  'onScopeLost',
  'snapshotStage',
  'acceptEncoding',
  'onRejected',
  'onConflict',
  'retryPolicy',
  'snapshotCapacityRetryPolicy',
  'pragmas',
  'ownership',
  'automatic',
  'ports',
]);

function invalidOption(option: string): SyncError {
  return new SyncError('config_invalid', { details: { option } });
}

/** Throws `config_invalid` when an object has members that are not known. */
export function checkKnownNames(value: object, known: ReadonlySet<string>, prefix = ''): void {
  const unknown = Object.keys(value).find((name) => !known.has(name));
  if (unknown !== undefined)
    throw invalidOption(`${prefix}${/^[A-Za-z_][A-Za-z0-9_]{0,62}$/.test(unknown) ? unknown : 'unknown'}`);
}

/** The number options with defaults filled in. */
export function resolveNumbers(given: Partial<NumberOptions>): NumberOptions {
  const number = (name: keyof NumberOptions): number => {
    const { fallback, min, max } = NUMBER_RULES[name];
    const value = given[name] ?? fallback;
    if (!Number.isSafeInteger(value) || value < min || value > max) throw invalidOption(name);
    return value;
  };
  return {
    uploadLimit: number('uploadLimit'),
    uploadChunkBytes: number('uploadChunkBytes'),
    maxRowsPerPush: number('maxRowsPerPush'),
    maxBytesPerPush: number('maxBytesPerPush'),
    downloadLimit: number('downloadLimit'),
    snapshotChunkRows: number('snapshotChunkRows'),
    snapshotChunkBytes: number('snapshotChunkBytes'),
    snapshotApplyBatchRows: number('snapshotApplyBatchRows'),
    snapshotApplyBatchBytes: number('snapshotApplyBatchBytes'),
    applyBatchRows: number('applyBatchRows'),
    applyBatchBytes: number('applyBatchBytes'),
    conflictRetryLimit: number('conflictRetryLimit'),
    quarantineLimit: number('quarantineLimit'),
    outcomeLimit: number('outcomeLimit'),
    requestTimeoutMs: number('requestTimeoutMs'),
    bulkRequestTimeoutMs: number('bulkRequestTimeoutMs'),
    bodyIdleTimeoutMs: number('bodyIdleTimeoutMs'),
    watchIdleTimeoutMs: number('watchIdleTimeoutMs'),
    capabilitiesMaxAgeMs: number('capabilitiesMaxAgeMs'),
  };
}

/** The retry policy with defaults filled in. */
export function resolveRetryPolicy(given: Partial<RetryPolicy> = {}): RetryPolicy {
  checkKnownNames(given, new Set(Object.keys(DEFAULT_RETRY)), 'retryPolicy.');
  const policy = { ...DEFAULT_RETRY, ...given };
  checkBoolean(policy.enabled, 'retryPolicy.enabled');
  checkRange(policy.maxAttempts, 1, 100, 'retryPolicy.maxAttempts');
  checkRange(policy.initialBackoffMs, 0, INT32_MAX, 'retryPolicy.initialBackoffMs');
  checkRange(policy.maxBackoffMs, policy.initialBackoffMs, INT32_MAX, 'retryPolicy.maxBackoffMs');
  checkRatio(policy.jitterRatio, 'retryPolicy.jitterRatio');
  return policy;
}

/** The capacity policy with defaults filled in. */
export function resolveCapacityPolicy(given: Partial<CapacityRetryPolicy> = {}): CapacityRetryPolicy {
  checkKnownNames(given, new Set(Object.keys(DEFAULT_CAPACITY)), 'snapshotCapacityRetryPolicy.');
  const policy = { ...DEFAULT_CAPACITY, ...given };
  checkBoolean(policy.enabled, 'snapshotCapacityRetryPolicy.enabled');
  checkRange(policy.maxWaitMs, 0, INT32_MAX, 'snapshotCapacityRetryPolicy.maxWaitMs');
  checkRange(policy.fallbackDelayMs, 1, INT32_MAX, 'snapshotCapacityRetryPolicy.fallbackDelayMs');
  checkRatio(policy.jitterRatio, 'snapshotCapacityRetryPolicy.jitterRatio');
  return policy;
}

/** One of a fixed list of words. */
export function resolveChoice<const T extends string>(value: T | undefined, choices: readonly [T, ...T[]], option: string): T {
  if (value === undefined) return choices[0];
  if (!choices.includes(value)) throw invalidOption(option);
  return value;
}

/** The base URL as a URL object. */
export function resolveBaseUrl(value: unknown): URL {
  const url = typeof value === 'string' || value instanceof URL ? URL.parse(value) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) throw invalidOption('baseUrl');
  return url;
}

/** Throws `config_invalid` for this option when `isValid` is false. */
export function checkOption(isValid: boolean, option: string): void {
  if (!isValid) throw invalidOption(option);
}

function checkBoolean(value: unknown, option: string): void {
  if (typeof value !== 'boolean') throw invalidOption(option);
}

function checkRange(value: number, min: number, max: number, option: string): void {
  if (!Number.isSafeInteger(value) || value < min || value > max) throw invalidOption(option);
}

function checkRatio(value: number, option: string): void {
  if (typeof value !== 'number' || !(value >= 0 && value <= 1)) throw invalidOption(option);
}
