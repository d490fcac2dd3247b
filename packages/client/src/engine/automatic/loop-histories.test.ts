import { SyncError } from '@oversync/protocol';
import type { ErrorCode } from '@oversync/protocol';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import type { BackgroundLoop } from './loop.ts';
import { createLoopWorld } from './test-loop-world.ts';
import type { LoopWorld } from './test-loop-world.ts';

/** One thing that happens to the loop. */
type Happening =
  | { readonly kind: 'write' | 'kick' | 'commitElsewhere' | 'streamEnds' | 'release' | 'detach' | 'attach' }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'network' | 'screen' | 'uploads' | 'downloads'; readonly isOn: boolean }
  | {
      readonly kind: 'fail';
      readonly what: 'push' | 'pull' | 'rebuild' | 'watch';
      readonly code: ErrorCode;
      readonly retryAfterMs: number;
    }
  | { readonly kind: 'hang'; readonly what: 'push' | 'pull' | 'rebuild' };

const CODES: readonly ErrorCode[] = [
  'transport_failed',
  'rate_limited',
  'rebuild_required',
  'source_recovery_required',
  'initialization_lost',
  'checkpoint_recovery_blocked',
  'authentication_failed',
  'quarantine_limit_reached',
  'capabilities_invalid',
  'bundle_change_watch_disabled',
];

const happening: fc.Arbitrary<Happening> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constantFrom('write', 'write', 'commitElsewhere', 'commitElsewhere', 'release', 'release', 'kick', 'streamEnds'),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.constantFrom(1, 250, 250, 1000, 5000, 31_000, 70_000) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('hang' as const), what: fc.constantFrom('push', 'pull', 'rebuild') }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('fail' as const),
      what: fc.constantFrom('push', 'pull', 'rebuild', 'watch'),
      code: fc.constantFrom(...CODES),
      retryAfterMs: fc.constantFrom(0, 0, 0, 20_000),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom('network', 'screen', 'uploads', 'downloads'), isOn: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('detach', 'attach', 'attach') }) },
);

function happen(world: LoopWorld, loop: BackgroundLoop, event: Happening): void {
  const { client, network, screen, pauses } = world;
  switch (event.kind) {
    case 'write':
      return client.write();
    case 'kick':
      return loop.kick();
    case 'commitElsewhere':
      return client.commitElsewhere();
    case 'streamEnds':
      return client.openStreams.at(-1)?.end();
    case 'release':
      return client.release();
    case 'detach':
      return client.changeAttachment('detached');
    case 'attach':
      return client.changeAttachment('attached');
    case 'network':
      return network.set(event.isOn);
    case 'screen':
      return screen.set(event.isOn);
    case 'uploads':
      return pauses.setUploadsPaused(!event.isOn);
    case 'downloads':
      return pauses.setDownloadsPaused(!event.isOn);
    case 'fail':
      return fail(world, event);
    case 'hang':
      client.hang(event.what);
      return;
    case 'wait':
  }
}

function fail({ client }: LoopWorld, event: Extract<Happening, { kind: 'fail' }>): void {
  const { code, retryAfterMs } = event;
  const script = { error: new SyncError(code, retryAfterMs > 0 ? { retryAfterMs } : {}) };
  const lists = { push: client.pushes, pull: client.pulls, rebuild: client.rebuilds, watch: client.watches };
  lists[event.what].push(script);
}

/** What must hold at every moment at which nothing is about to happen by itself. */
function checkSafety(world: LoopWorld, loop: BackgroundLoop): void {
  const { client, clock, network, pauses } = world;
  expect(client.mostAtOnce).toBeLessThanOrEqual(1);
  const streams = client.openStreams.filter((stream) => !stream.isClosed);
  expect(streams.length).toBeLessThanOrEqual(1);
  const isStill = !network.port.isOnline() || (pauses.areUploadsPaused && pauses.areDownloadsPaused);
  if (isStill) expect({ running: client.running, streams: streams.length }).toEqual({ running: [], streams: 0 });
  if (pauses.areUploadsPaused) expect(client.running).not.toContain('push');
  if (pauses.areDownloadsPaused) expect(client.running).not.toContain('pull');
  if (['offline', 'paused', 'needs_authentication'].includes(loop.state)) expect(client.running).toEqual([]);
  expect(clock.timerCount).toBeLessThanOrEqual(4);
  if (loop.state === 'idle' && client.connected) checkNothingMissed(world);
}

/** At rest, whatever is left to do has a timer or an open stream that will bring it. */
function checkNothingMissed({ client, clock, pauses }: LoopWorld): void {
  const hasStream = client.openStreams.at(-1)?.isClosed === false;
  if (hasStream && !pauses.areDownloadsPaused) expect(client.pulledHead).toBe(client.serverHead);
  if (client.pending.pendingRowCount > 0 && !pauses.areUploadsPaused) expect(clock.timerCount).toBeGreaterThan(0);
}

describe('histories of the background loop', () => {
  for (const mode of ['auto', 'off'] as const) {
    test(`[T107] [K12] whatever happens, it keeps still when it should, never overlaps, and in the end everything is sent (${mode})`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(happening, { minLength: 20, maxLength: 60 }), async (history) => {
          const world = createLoopWorld();
          const { client, clock, network, screen, pauses } = world;
          client.user = 'ada';
          const loop = await world.start({ bundleChangeWatchMode: mode, uploadDebounceMs: 250 });
          for (const event of history) {
            happen(world, loop, event);
            await clock.advance(event.kind === 'wait' ? event.ms : 0);
            await clock.settle();
            checkSafety(world, loop);
          }

          client.healed();
          network.set(true);
          screen.set(true);
          pauses.setUploadsPaused(false);
          pauses.setDownloadsPaused(false);
          client.changeAttachment('attached');
          await clock.advance(300_000);
          if (loop.state === 'needs_authentication' || loop.state === 'blocked') loop.kick();
          await clock.advance(300_000);
          checkSafety(world, loop);
          expect(loop.status).toMatchObject({ state: 'idle', pendingRowCount: 0, lastError: null });
          expect(client.pulledHead).toBe(client.serverHead);

          client.write();
          client.commitElsewhere();
          await clock.advance(mode === 'auto' ? 250 : 60_000);
          expect(loop.status).toMatchObject({ state: 'idle', pendingRowCount: 0, lastError: null });
          expect(client.pulledHead).toBe(client.serverHead);

          await loop.stop();
          expect(clock.timerCount).toBe(0);
          expect(client.running).toEqual([]);
        }),
        { numRuns: 100 },
      );
    });
  }
});
