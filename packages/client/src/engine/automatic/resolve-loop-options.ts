import { SyncError } from '@oversync/protocol';

import {
  AUTOMATIC_DOWNLOAD_INTERVAL_MS,
  HIDDEN_GRACE_MS,
  LOOP_BACKOFF_MAX_MS,
  LOOP_BACKOFF_MIN_MS,
  LOOP_DELAY_MAX_MS,
  LOOP_JITTER_RATIO,
  UPLOAD_DEBOUNCE_MS,
  UPLOAD_DELAY_MAX_MS,
  WATCH_RECONNECT_MAX_MS,
  WATCH_RECONNECT_MIN_MS,
} from '../../limits.ts';
import type { LoopOptions } from '../../rules/loop-options.ts';

/** The options of `client.start`; each member has a default (client.md 9.2). */
export type AutomaticOptions = Partial<Omit<LoopOptions, 'userId'>> & { readonly userId?: string };

const DEFAULTS: LoopOptions = {
  automaticDownloadIntervalMs: AUTOMATIC_DOWNLOAD_INTERVAL_MS,
  bundleChangeWatchMode: 'off',
  bundleChangeWatchReconnectMinMs: WATCH_RECONNECT_MIN_MS,
  bundleChangeWatchReconnectMaxMs: WATCH_RECONNECT_MAX_MS,
  pauseWhenHidden: true,
  hiddenGraceMs: HIDDEN_GRACE_MS,
  backoffMinMs: LOOP_BACKOFF_MIN_MS,
  backoffMaxMs: LOOP_BACKOFF_MAX_MS,
  backoffJitterRatio: LOOP_JITTER_RATIO,
  uploadDebounceMs: UPLOAD_DEBOUNCE_MS,
  uploadMaxDelayMs: UPLOAD_DELAY_MAX_MS,
  userId: null,
  localData: 'replace',
  autoRecover: true,
};

/** Smallest value of each duration, and the option that it must not exceed. */
const DURATIONS: readonly { readonly name: keyof LoopOptions; readonly min: number; readonly atMost?: keyof LoopOptions }[] = [
  { name: 'automaticDownloadIntervalMs', min: 1 },
  { name: 'bundleChangeWatchReconnectMinMs', min: 1, atMost: 'bundleChangeWatchReconnectMaxMs' },
  { name: 'bundleChangeWatchReconnectMaxMs', min: 1 },
  { name: 'hiddenGraceMs', min: 0 },
  { name: 'backoffMinMs', min: 1, atMost: 'backoffMaxMs' },
  { name: 'backoffMaxMs', min: 1 },
  { name: 'uploadDebounceMs', min: 0 },
  { name: 'uploadMaxDelayMs', min: 0 },
];

/**
 * Fills in defaults: those of the contract, then those of the client, then the ones of the call.
 *
 * @throws SyncError `config_invalid` with the name of an unknown, mistyped or out-of-range option.
 */
export function resolveLoopOptions(...given: readonly AutomaticOptions[]): LoopOptions {
  const options = given.reduce<LoopOptions>((merged, more) => ({ ...merged, ...withoutUndefined(more) }), DEFAULTS);
  for (const name of Object.keys(options)) check(Object.hasOwn(DEFAULTS, name), name);
  for (const { name, min, atMost } of DURATIONS) checkDuration(options, name, min, atMost);
  check(options.bundleChangeWatchMode === 'off' || options.bundleChangeWatchMode === 'auto', 'bundleChangeWatchMode');
  check(options.localData === 'replace' || options.localData === 'merge', 'localData');
  check(typeof options.pauseWhenHidden === 'boolean', 'pauseWhenHidden');
  check(typeof options.autoRecover === 'boolean', 'autoRecover');
  check(isRatio(options.backoffJitterRatio), 'backoffJitterRatio');
  check(options.userId === null || (typeof options.userId === 'string' && options.userId.trim() !== ''), 'userId');
  return options;
}

function withoutUndefined(options: AutomaticOptions): Partial<AutomaticOptions> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

function checkDuration(options: LoopOptions, name: keyof LoopOptions, min: number, atMost?: keyof LoopOptions): void {
  const value = options[name];
  const max = atMost === undefined ? LOOP_DELAY_MAX_MS : options[atMost];
  check(
    typeof value === 'number' && Number.isSafeInteger(value) && value >= min && typeof max === 'number' && value <= max,
    name,
  );
}

function isRatio(value: unknown): boolean {
  return typeof value === 'number' && value >= 0 && value <= 1;
}

function check(isValid: boolean, option: string): void {
  if (!isValid)
    throw new SyncError('config_invalid', { details: { option: /^[A-Za-z_]\w{0,62}$/.test(option) ? option : 'unknown' } });
}
