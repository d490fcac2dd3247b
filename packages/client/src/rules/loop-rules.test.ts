import { SyncError } from '@oversync/protocol';
import type { ErrorCode } from '@oversync/protocol';
import { describe, expect, test } from 'vitest';

import { loopBackoffMs } from './loop-backoff.ts';
import { decideLoopReaction, decideWatchRefusal } from './loop-error.ts';
import type { LoopReaction } from './loop-error.ts';
import { closureOf } from './loop-gate.ts';
import type { Surroundings } from './loop-gate.ts';
import { loopStateName } from './loop-status.ts';
import type { LoopPicture } from './loop-status.ts';

const react = (code: ErrorCode, details = {}, autoRecover = true): LoopReaction =>
  decideLoopReaction(new SyncError(code, { details }), autoRecover);

describe('reaction of the loop to an error', () => {
  const cases: readonly (readonly [ErrorCode, LoopReaction, LoopReaction])[] = [
    ['transport_failed', 'retry', 'retry'],
    ['rate_limited', 'retry', 'retry'],
    ['rebuild_required', 'rebuild', 'block'],
    ['source_recovery_required', 'rebuild', 'block'],
    ['source_sequence_mismatch', 'rebuild', 'block'],
    ['checkpoint_recovery_blocked', 'rebuild', 'block'],
    ['outbox_corrupt', 'rebuild', 'block'],
    ['initialization_lost', 'attach', 'block'],
    ['attach_required', 'attach', 'block'],
    ['authentication_failed', 'authenticate', 'authenticate'],
    ['forbidden', 'authenticate', 'authenticate'],
    ['quarantine_limit_reached', 'block', 'block'],
    ['source_replacement_diverged', 'block', 'block'],
    ['scope_lost', 'block', 'block'],
    ['conflict_resolution_invalid', 'retry', 'retry'],
    ['capabilities_invalid', 'retryLater', 'retryLater'],
    ['protocol_version_mismatch', 'stop', 'stop'],
    ['table_contract_mismatch', 'stop', 'stop'],
    ['database_owned', 'stop', 'stop'],
    ['client_closed', 'stop', 'stop'],
  ];
  for (const [code, expected, withoutRecovery] of cases) {
    test(`[T109] ${code}: ${expected}`, () => {
      expect(react(code)).toBe(expected);
      expect(react(code, {}, false)).toBe(withoutRecovery);
    });
  }

  test('[T109] a recovery that waits for paused uploads is left to the application', () => {
    expect(react('checkpoint_recovery_blocked', { reason: 'upload_paused' })).toBe('block');
    expect(react('checkpoint_recovery_blocked', { reason: 'push_failed' })).toBe('rebuild');
  });

  test('[T105] watch refusals: poll where the server says no, reconnect after faults, stop for another contract', () => {
    const decide = (code: ErrorCode): string => decideWatchRefusal(new SyncError(code));
    expect(decide('bundle_change_watch_forbidden')).toBe('poll');
    expect(decide('bundle_change_watch_disabled')).toBe('poll');
    expect(decide('bundle_change_watch_capacity')).toBe('poll');
    expect(decide('bundle_change_watch_failed')).toBe('reconnect');
    expect(decide('scope_uninitialized')).toBe('reconnect');
    expect(decide('authentication_failed')).toBe('reconnect');
    expect(decide('table_contract_mismatch')).toBe('stop');
  });
});

test('back-off doubles from the minimum to the maximum, jitter on top', () => {
  const options = { backoffMinMs: 1000, backoffMaxMs: 60_000, backoffJitterRatio: 0.2 };
  expect([1, 2, 3, 7, 8, 1e9].map((failures) => loopBackoffMs(options, failures, 0))).toEqual([
    1000, 2000, 4000, 60_000, 60_000, 60_000,
  ]);
  expect(loopBackoffMs(options, 8, 0.5)).toBe(66_000);
});

describe('gates', () => {
  const open: Surroundings = {
    isOnline: true,
    isAwake: true,
    areUploadsPaused: false,
    areDownloadsPaused: false,
    isHeld: false,
    isReady: true,
  };

  test('everything runs when nothing stands against it', () => {
    expect((['uploads', 'downloads', 'attach', 'rebuild'] as const).map((work) => closureOf(work, open))).toEqual([
      null,
      null,
      null,
      null,
    ]);
  });

  test('pauses close their own direction; an attach needs one open direction, a rebuild the downloads', () => {
    const uploadsPaused = { ...open, areUploadsPaused: true };
    expect(closureOf('uploads', uploadsPaused)).toBe('paused');
    expect(closureOf('downloads', uploadsPaused)).toBe(null);
    expect(closureOf('attach', uploadsPaused)).toBe(null);
    const downloadsPaused = { ...open, areDownloadsPaused: true };
    expect(closureOf('rebuild', downloadsPaused)).toBe('paused');
    expect(closureOf('attach', { ...uploadsPaused, areDownloadsPaused: true })).toBe('paused');
  });

  test('only the workers wait for readiness', () => {
    const unready = { ...open, isReady: false };
    expect(closureOf('uploads', unready)).toBe('preparing');
    expect(closureOf('downloads', unready)).toBe('preparing');
    expect(closureOf('attach', unready)).toBe(null);
  });

  test('offline, hidden and held close everything', () => {
    for (const work of ['uploads', 'downloads', 'attach', 'rebuild'] as const) {
      expect(closureOf(work, { ...open, isOnline: false })).toBe('offline');
      expect(closureOf(work, { ...open, isAwake: false })).toBe('hidden');
      expect(closureOf(work, { ...open, isHeld: true })).toBe('held');
    }
  });
});

test('the state names what stops everything before what one part does', () => {
  const idle: LoopPicture = { end: null, needsAuthentication: false, isOnline: true, isPaused: false, parts: ['resting'] };
  const busy: LoopPicture = { ...idle, parts: ['running', 'waiting', 'stalled'] };
  expect(loopStateName(idle)).toBe('idle');
  expect(loopStateName(busy)).toBe('syncing');
  expect(loopStateName({ ...busy, parts: ['waiting', 'stalled'] })).toBe('blocked');
  expect(loopStateName({ ...busy, parts: ['waiting', 'closed'] })).toBe('backoff');
  expect(loopStateName({ ...busy, isPaused: true })).toBe('paused');
  expect(loopStateName({ ...busy, isPaused: true, isOnline: false })).toBe('offline');
  expect(loopStateName({ ...busy, isOnline: false, needsAuthentication: true })).toBe('needs_authentication');
  expect(loopStateName({ ...busy, needsAuthentication: true, end: 'failed' })).toBe('failed');
});
