import { SyncError } from '@oversync/protocol';
import type { ErrorCode } from '@oversync/protocol';
import { describe, expect, test } from 'vitest';

import { resolveLoopOptions } from './resolve-loop-options.ts';
import { createLoopWorld } from './test-loop-world.ts';
import { SimulatedStream } from './test-simulated-client.ts';

const error = (code: ErrorCode, details = {}): { readonly error: SyncError } => ({ error: new SyncError(code, { details }) });
const busy = (retryAfterMs: number): { readonly error: SyncError } => ({
  error: new SyncError('rate_limited', { retryAfterMs }),
});
const AUTO = { bundleChangeWatchMode: 'auto' } as const;

describe('uploads of the loop', () => {
  test('rows that are pending at the start are pushed at once; without any there is no push', async () => {
    const { client, start } = createLoopWorld();
    client.setPending(3);
    const loop = await start();
    expect(client.count('push')).toBe(1);
    expect(loop.status).toMatchObject({ state: 'idle', pendingRowCount: 0, lastError: null });
    await loop.stop();

    const idle = createLoopWorld();
    const idleLoop = await idle.start();
    expect(idle.client.count('push')).toBe(0);
    await idleLoop.stop();
  });

  test('[T108] a burst of writes is one push, sent after the quiet time', async () => {
    const { client, clock, start } = createLoopWorld();
    const loop = await start();
    for (let write = 0; write < 20; write += 1) {
      client.write();
      await clock.advance(100);
    }
    expect(client.count('push')).toBe(0);
    expect(loop.status.pendingRowCount).toBe(20);
    await clock.advance(250);
    expect(client.count('push')).toBe(1);
    await loop.stop();
  });

  test('[T108] steady writing is pushed once per maximum delay', async () => {
    const { client, clock, start } = createLoopWorld();
    const loop = await start();
    for (let write = 0; write < 140; write += 1) {
      client.write();
      await clock.advance(100);
    }
    expect(client.count('push')).toBe(2);
    await loop.stop();
  });

  test('rows left over by a push that committed follow after the quiet time; a push without progress is not repeated', async () => {
    const { client, clock, start } = createLoopWorld();
    const loop = await start();
    client.pushes.push({ value: { hasCommitted: false } });
    client.write();
    await clock.advance(10_000);
    expect(client.count('push')).toBe(1);
    await loop.stop();
  });

  test('a pull that left contested rows is followed by a push', async () => {
    const { client, start } = createLoopWorld();
    client.pulls.push({ value: { hasContested: true, isDeferred: false } });
    client.pushes.push({ value: { hasCommitted: false } });
    client.setPending(1);
    const loop = await start();
    expect(client.count('push')).toBe(2);
    await loop.stop();
  });

  test('rows that nobody announced are pushed after the next pull', async () => {
    const { client, clock, start } = createLoopWorld();
    const loop = await start({ automaticDownloadIntervalMs: 60_000 });
    client.setPending(1);
    await clock.advance(60_249);
    expect(client.count('push')).toBe(0);
    await clock.advance(1);
    expect(client.count('push')).toBe(1);
    await loop.stop();
  });

  test('a pull that waits for a local delete is repeated once the delete is pushed', async () => {
    const { client, start } = createLoopWorld();
    client.setPending(1);
    client.pushes.push({ value: { hasCommitted: false } });
    client.pulls.push({ value: { hasContested: false, isDeferred: true } });
    const loop = await start();
    expect(client.calls.filter((call) => call !== 'watch')).toEqual(['push', 'pull', 'push', 'pull']);
    await loop.stop();
  });
});

describe('downloads of the loop', () => {
  test('[T105] polling: a pull at the start, then one per interval', async () => {
    const { client, clock, start } = createLoopWorld();
    const loop = await start({ automaticDownloadIntervalMs: 60_000 });
    expect(client.count('pull')).toBe(1);
    await clock.advance(59_999);
    expect(client.count('pull')).toBe(1);
    await clock.advance(1);
    expect(client.count('pull')).toBe(2);
    expect(client.count('watch')).toBe(0);
    await loop.stop();
  });

  test('[T105] an open stream is authoritative: no pull at the start, none by a timer, and no timer of the loop', async () => {
    const { client, clock, start } = createLoopWorld();
    const loop = await start(AUTO);
    expect(loop.state).toBe('idle');
    expect(clock.timerCount).toBe(0);
    await clock.advance(3_600_000);
    expect(client.calls).toEqual(['watch']);
    await loop.stop();
  });

  test('[T105] each event is one pull, and events during a pull merge into one more', async () => {
    const { client, clock, start } = createLoopWorld();
    const loop = await start(AUTO);
    const [stream] = client.openStreams;
    stream?.hint();
    await clock.settle();
    expect(client.count('pull')).toBe(1);
    client.pulls.push('hang');
    stream?.hint();
    await clock.settle();
    for (let hint = 0; hint < 5; hint += 1) stream?.hint();
    await clock.settle();
    expect(client.count('pull')).toBe(2);
    await loop.stop();
  });

  test('events during a pull are answered by exactly one more pull', async () => {
    const { client, clock, start } = createLoopWorld();
    const gate = Promise.withResolvers<undefined>();
    const pull = client.pull.bind(client);
    client.pull = async (signal) => {
      const result = await pull(signal);
      if (client.count('pull') === 1) await gate.promise;
      return result;
    };
    const loop = await start(AUTO);
    const [stream] = client.openStreams;
    for (let hint = 0; hint < 5; hint += 1) stream?.hint();
    await clock.settle();
    expect(client.count('pull')).toBe(1);
    gate.resolve(undefined);
    await clock.settle();
    expect(client.count('pull')).toBe(2);
    await loop.stop();
  });

  test('[T106] a lost stream is one pull, then a reconnect after the delay', async () => {
    const { client, clock, start } = createLoopWorld();
    const loop = await start(AUTO);
    client.openStreams[0]?.end();
    await clock.settle();
    expect(client.calls).toEqual(['watch', 'pull']);
    expect(client.openStreams[0]?.isClosed).toBe(true);
    await clock.advance(999);
    expect(client.count('watch')).toBe(1);
    await clock.advance(1);
    expect(client.calls).toEqual(['watch', 'pull', 'watch']);
    await loop.stop();
  });

  test('[K13] a failing pull does not close the stream, and is repeated with a back-off', async () => {
    const { client, clock, start } = createLoopWorld();
    const loop = await start(AUTO);
    client.pulls.push(error('transport_failed'), error('transport_failed'));
    client.openStreams[0]?.hint();
    await clock.settle();
    expect(loop.status).toMatchObject({ state: 'backoff', lastError: { code: 'transport_failed' } });
    await clock.advance(1000);
    expect(client.count('pull')).toBe(2);
    await clock.advance(2000);
    expect(client.count('pull')).toBe(3);
    expect(loop.status).toMatchObject({ state: 'idle', lastError: null });
    expect(client.openStreams[0]?.isClosed).toBe(false);
    expect(client.count('watch')).toBe(1);
    await loop.stop();
  });

  test('[T105] a server without watch is polled, and asked again at each interval', async () => {
    const { client, clock, start } = createLoopWorld();
    client.watches.push({ value: null });
    const loop = await start({ ...AUTO, automaticDownloadIntervalMs: 60_000 });
    expect(client.calls).toEqual(['watch', 'pull']);
    await clock.advance(60_000);
    expect(client.calls).toEqual(['watch', 'pull', 'watch']);
    await loop.stop();
  });

  for (const code of ['bundle_change_watch_forbidden', 'bundle_change_watch_disabled', 'bundle_change_watch_capacity'] as const) {
    test(`[T105] ${code} means polling until the next interval`, async () => {
      const { client, clock, start } = createLoopWorld();
      client.watches.push(error(code));
      const loop = await start({ ...AUTO, automaticDownloadIntervalMs: 60_000 });
      await clock.advance(59_999);
      expect(client.calls).toEqual(['watch', 'pull']);
      await clock.advance(1);
      expect(client.calls).toEqual(['watch', 'pull', 'watch']);
      await loop.stop();
    });
  }

  test('a watch against a server of another contract ends the loop', async () => {
    const { client, start } = createLoopWorld();
    client.watches.push(error('protocol_version_mismatch'));
    const loop = await start(AUTO);
    await expect(loop.done).rejects.toMatchObject({ code: 'protocol_version_mismatch' });
    expect(loop.state).toBe('failed');
  });

  test('a stream that opens after the loop was stopped is closed', async () => {
    const { client, clock, start } = createLoopWorld();
    const late = Promise.withResolvers<SimulatedStream>();
    client.openWatch = () => late.promise;
    const loop = await start(AUTO);
    const stopped = loop.stop();
    const stream = new SimulatedStream();
    late.resolve(stream);
    await clock.settle();
    await stopped;
    expect(stream.isClosed).toBe(true);
  });
});

describe('the loop at rest', () => {
  test('[T107] [K12] paused, it makes no request and has no timer, whatever happens; resuming catches up', async () => {
    const { client, clock, pauses, start } = createLoopWorld();
    const loop = await start();
    pauses.setUploadsPaused(true);
    pauses.setDownloadsPaused(true);
    const before = client.calls.length;
    client.write();
    await clock.advance(86_400_000);
    expect(loop.state).toBe('paused');
    expect(clock.timerCount).toBe(0);
    expect(client.calls.length).toBe(before);
    pauses.setUploadsPaused(false);
    await clock.settle();
    expect(client.calls.slice(before)).toEqual(['push']);
    pauses.setDownloadsPaused(false);
    await clock.settle();
    expect(client.calls.slice(before)).toEqual(['push', 'pull']);
    await loop.stop();
  });

  test('[T107] offline, the stream is closed and nothing runs; the network wakes both directions', async () => {
    const { client, clock, network, start } = createLoopWorld();
    const loop = await start(AUTO);
    network.set(false);
    await clock.settle();
    expect(client.openStreams[0]?.isClosed).toBe(true);
    client.write();
    loop.kick();
    await clock.advance(86_400_000);
    expect(loop.state).toBe('offline');
    expect(clock.timerCount).toBe(0);
    expect(client.calls).toEqual(['watch']);
    network.set(true);
    await clock.settle();
    expect(client.calls).toEqual(['watch', 'watch', 'push']);
    await loop.stop();
  });

  test('[T107] hidden, it goes on for the grace period, then rests until it is visible again', async () => {
    const { client, clock, screen, start } = createLoopWorld();
    const loop = await start({ automaticDownloadIntervalMs: 20_000, hiddenGraceMs: 30_000 });
    screen.set(false);
    await clock.advance(29_999);
    expect(client.count('pull')).toBe(2);
    await clock.advance(1);
    expect(loop.state).toBe('paused');
    expect(clock.timerCount).toBe(0);
    await clock.advance(86_400_000);
    expect(client.count('pull')).toBe(2);
    screen.set(true);
    await clock.settle();
    expect(client.count('pull')).toBe(3);
    await loop.stop();
  });

  test('[T107] a short look away changes nothing, and pauseWhenHidden: false never rests', async () => {
    const { client, clock, screen, start } = createLoopWorld();
    const loop = await start(AUTO);
    screen.set(false);
    await clock.advance(10_000);
    screen.set(true);
    await clock.advance(60_000);
    expect(client.calls).toEqual(['watch']);
    await loop.stop();

    const always = createLoopWorld();
    always.screen.set(false);
    const alwaysOn = await always.start({ ...AUTO, pauseWhenHidden: false });
    await always.clock.advance(60_000);
    expect(always.client.openStreams[0]?.isClosed).toBe(false);
    await alwaysOn.stop();
  });

  for (const situation of ['wait', 'request', 'stream'] as const) {
    test(`[K29] stop ends a ${situation}, and leaves no timer and no listener`, async () => {
      const { client, clock, network, screen, start } = createLoopWorld();
      if (situation === 'request') client.pulls.push('hang');
      if (situation === 'wait') client.pulls.push(error('transport_failed'));
      const loop = await start(situation === 'stream' ? AUTO : {});
      await loop.stop();
      await loop.done;
      const calls = client.calls.length;
      client.write();
      loop.kick();
      await clock.advance(3_600_000);
      expect(loop.state).toBe('stopped');
      expect(client.calls.length).toBe(calls);
      expect(clock.timerCount).toBe(0);
      expect(client.listenerCount + network.listenerCount + screen.listenerCount).toBe(0);
      expect(client.openStreams.every((stream) => stream.isClosed)).toBe(true);
    });
  }

  test('[K29] stop waits for what cannot be interrupted', async () => {
    const { client, clock, start } = createLoopWorld();
    const transaction = Promise.withResolvers<{ hasContested: boolean; isDeferred: boolean }>();
    client.pull = () => transaction.promise;
    const loop = await start();
    let isStopped = false;
    const stopped = loop.stop().then(() => (isStopped = true));
    await clock.settle();
    expect(isStopped).toBe(false);
    transaction.resolve({ hasContested: false, isDeferred: false });
    await stopped;
    await loop.done;
  });

  test('a hold waits for what runs, keeps everything still, and lets it go on afterwards', async () => {
    const { client, clock, start } = createLoopWorld();
    client.pulls.push('hang');
    const loop = await start();
    const release = await loop.hold();
    expect(loop.state).toBe('paused');
    client.write();
    await clock.advance(600_000);
    expect(client.calls).toEqual(['pull']);
    release();
    release();
    await clock.settle();
    expect(client.calls).toEqual(['pull', 'push', 'pull']);
    await loop.stop();
  });
});

describe('errors in the loop', () => {
  test('[T107] back-off grows per worker and is reset by success; the other worker goes on', async () => {
    const { client, clock, start } = createLoopWorld();
    const loop = await start(AUTO);
    client.pushes.push(error('transport_failed'), error('transport_failed'), error('transport_failed'));
    client.write();
    await clock.advance(250);
    expect(client.count('push')).toBe(1);
    client.openStreams[0]?.hint();
    await clock.settle();
    expect(client.count('pull')).toBe(1);
    await clock.advance(1000);
    expect(client.count('push')).toBe(2);
    await clock.advance(2000);
    expect(client.count('push')).toBe(3);
    await clock.advance(4000);
    expect(client.count('push')).toBe(4);
    client.pushes.push(error('transport_failed'));
    client.write();
    await clock.advance(250);
    await clock.advance(1000);
    expect(client.count('push')).toBe(6);
    await loop.stop();
  });

  test('[T107] Retry-After is a lower bound, also against a kick and a change of the network', async () => {
    const { client, clock, network, start } = createLoopWorld();
    client.pulls.push(busy(30_000));
    const loop = await start();
    await clock.advance(10_000);
    loop.kick();
    await clock.settle();
    expect(client.count('pull')).toBe(1);
    await clock.advance(19_999);
    expect(client.count('pull')).toBe(1);
    await clock.advance(1);
    expect(client.count('pull')).toBe(2);
    client.pulls.push(busy(30_000));
    loop.kick();
    await clock.settle();
    network.set(false);
    network.set(true);
    await clock.advance(29_999);
    expect(client.count('pull')).toBe(3);
    await loop.stop();
  });

  test('[T107] a kick cuts a back-off short', async () => {
    const { client, clock, start } = createLoopWorld();
    client.pulls.push(error('transport_failed'), error('transport_failed'), error('transport_failed'));
    const loop = await start();
    await clock.advance(3000);
    expect(client.count('pull')).toBe(3);
    loop.kick();
    await clock.settle();
    expect(client.count('pull')).toBe(4);
    await loop.stop();
  });

  test('a kick pulls also while the server does not want to be watched', async () => {
    const { client, clock, start } = createLoopWorld();
    client.watches.push({ error: new SyncError('bundle_change_watch_capacity', { retryAfterMs: 600_000 }) });
    const loop = await start(AUTO);
    loop.kick();
    await clock.advance(599_999);
    expect(client.calls).toEqual(['watch', 'pull', 'pull']);
    await clock.advance(1);
    expect(client.count('watch')).toBe(2);
    await loop.stop();
  });

  test('a kick is one pull and one reconnect, whatever the stream is doing', async () => {
    const { client, clock, start } = createLoopWorld();
    const loop = await start(AUTO);
    loop.kick();
    await clock.settle();
    expect(client.calls).toEqual(['watch', 'pull']);
    client.openStreams[0]?.end();
    await clock.settle();
    loop.kick();
    await clock.settle();
    expect(client.calls).toEqual(['watch', 'pull', 'pull', 'watch', 'pull']);
    await loop.stop();

    const polling = createLoopWorld();
    const pollingLoop = await polling.start();
    pollingLoop.kick();
    await polling.clock.settle();
    expect(polling.client.calls).toEqual(['pull', 'pull']);
    await pollingLoop.stop();
  });

  for (const code of ['rebuild_required', 'source_recovery_required', 'source_sequence_mismatch'] as const) {
    test(`[T109] ${code} is answered by a rebuild, then the work goes on`, async () => {
      const { client, clock, start } = createLoopWorld();
      const loop = await start();
      client.pushes.push(error(code));
      client.write();
      await clock.advance(250);
      expect(client.calls).toEqual(['pull', 'push', 'rebuild', 'push', 'pull']);
      expect(loop.status).toMatchObject({ state: 'idle', lastError: null });
      await loop.stop();
    });
  }

  test('[T109] [K39] a blocked checkpoint recovery is finished by a rebuild', async () => {
    const { client, start } = createLoopWorld();
    client.pulls.push(error('checkpoint_recovery_blocked', { reason: 'push_failed' }));
    const loop = await start();
    expect(client.calls).toEqual(['pull', 'rebuild', 'pull']);
    await loop.stop();
  });

  test('[T109] a recovery blocked by paused uploads goes on when they are resumed', async () => {
    const { client, clock, pauses, start } = createLoopWorld();
    pauses.setUploadsPaused(true);
    client.pulls.push(error('checkpoint_recovery_blocked', { reason: 'upload_paused' }));
    const loop = await start();
    expect(loop.state).toBe('blocked');
    await clock.advance(59_999);
    expect(client.calls).toEqual(['pull']);
    pauses.setUploadsPaused(false);
    await clock.settle();
    expect(client.calls).toEqual(['pull', 'pull']);
    await loop.stop();
  });

  test('[T109] recoveries that do not help are repeated with a growing back-off, not in a circle', async () => {
    const { client, clock, start } = createLoopWorld();
    for (let round = 0; round < 6; round += 1) client.pulls.push(error('rebuild_required'));
    const loop = await start();
    expect(client.count('rebuild')).toBe(1);
    await clock.advance(1000);
    expect(client.count('rebuild')).toBe(2);
    await clock.advance(2000);
    expect(client.count('rebuild')).toBe(3);
    await clock.advance(3999);
    expect(client.count('rebuild')).toBe(3);
    await loop.stop();
  });

  test('[T109] a failing rebuild is repeated with a back-off while both workers wait', async () => {
    const { client, clock, start } = createLoopWorld();
    client.pulls.push(error('rebuild_required'));
    client.rebuilds.push(error('transport_failed'), error('snapshot_session_lost'));
    const loop = await start();
    client.write();
    await clock.advance(250);
    expect(client.calls).toEqual(['pull', 'rebuild']);
    expect(loop.state).toBe('backoff');
    await clock.advance(10_000);
    expect(client.calls).toEqual(['pull', 'rebuild', 'rebuild', 'rebuild', 'push', 'pull']);
    await loop.stop();
  });

  test('[T109] a lost initialization is answered by attaching the same user again', async () => {
    const { client, clock, start } = createLoopWorld();
    client.user = 'ada';
    const loop = await start();
    client.pushes.push(error('initialization_lost'));
    client.write();
    await clock.advance(250);
    expect(client.calls).toEqual(['pull', 'push', 'attach ada', 'push', 'pull']);
    await loop.stop();
  });

  test('[T109] autoRecover: false leaves recoveries to the application', async () => {
    const { client, clock, start } = createLoopWorld();
    client.pulls.push(error('rebuild_required'));
    const loop = await start({ autoRecover: false, automaticDownloadIntervalMs: 600_000 });
    await clock.advance(500_000);
    expect(client.calls).toEqual(['pull']);
    expect(loop.status).toMatchObject({ state: 'blocked', lastError: { code: 'rebuild_required' } });
    await loop.stop();
  });

  test('[T109] refused credentials stop all requests until a kick', async () => {
    const { client, clock, start } = createLoopWorld();
    client.pulls.push(error('authentication_failed'));
    const loop = await start();
    expect(loop.state).toBe('needs_authentication');
    client.write();
    await clock.advance(3_600_000);
    expect(client.calls).toEqual(['pull']);
    expect(clock.timerCount).toBe(0);
    loop.kick();
    await clock.settle();
    expect(client.calls).toEqual(['pull', 'push', 'pull']);
    await loop.stop();
  });

  test('[T109] resuming also asks for another try with the credentials', async () => {
    const { client, clock, pauses, start } = createLoopWorld();
    client.pulls.push(error('authentication_failed'));
    const loop = await start();
    pauses.setDownloadsPaused(true);
    pauses.setDownloadsPaused(false);
    await clock.settle();
    expect(client.calls).toEqual(['pull', 'pull']);
    await loop.stop();
  });

  for (const code of ['protocol_version_mismatch', 'table_contract_mismatch', 'database_owned', 'client_closed'] as const) {
    test(`[T109] ${code} ends the loop: done rejects`, async () => {
      const { client, clock, start } = createLoopWorld();
      client.pulls.push(error(code));
      const loop = await start();
      await expect(loop.done).rejects.toMatchObject({ code });
      expect(loop.status).toMatchObject({ state: 'failed', lastError: { code } });
      client.write();
      await clock.advance(3_600_000);
      expect(client.calls).toEqual(['pull']);
    });
  }

  test('an upload that needs a decision blocks uploads alone, until the application writes again', async () => {
    const { client, clock, start } = createLoopWorld();
    const loop = await start(AUTO);
    client.pushes.push(error('quarantine_limit_reached'));
    client.write();
    await clock.advance(3_600_000);
    expect(client.count('push')).toBe(1);
    expect(loop.state).toBe('blocked');
    client.openStreams[0]?.hint();
    await clock.settle();
    expect(client.count('pull')).toBe(1);
    expect(loop.status.lastError).toMatchObject({ code: 'quarantine_limit_reached' });
    client.write();
    await clock.advance(250);
    expect(client.count('push')).toBe(2);
    expect(loop.status).toMatchObject({ state: 'idle', lastError: null });
    await loop.stop();
  });

  test('a fault that only the server can mend is tried again at the longest back-off', async () => {
    const { client, clock, start } = createLoopWorld();
    client.setPending(1);
    client.pushes.push(error('capabilities_invalid'));
    const loop = await start({ automaticDownloadIntervalMs: 600_000 });
    await clock.advance(59_999);
    expect(client.count('push')).toBe(1);
    await clock.advance(1);
    expect(client.count('push')).toBe(2);
    await loop.stop();
  });
});

describe('attaching by the loop', () => {
  test('without a user it makes no request until the application attaches', async () => {
    const { client, clock, start } = createLoopWorld();
    client.connected = false;
    const loop = await start();
    client.write();
    await clock.advance(600_000);
    expect(client.calls).toEqual([]);
    expect(clock.timerCount).toBe(0);
    client.changeAttachment('attached');
    await clock.settle();
    expect(client.calls).toEqual(['push', 'pull']);
    await loop.stop();
  });

  test('with a user it attaches first, and honours retry_later', async () => {
    const { client, clock, start } = createLoopWorld();
    client.connected = false;
    client.attaches.push({ value: { status: 'retry_later', retryAfterMs: 42_000 } });
    const loop = await start({ userId: 'ada' });
    expect(client.calls).toEqual(['attach ada']);
    loop.kick();
    await clock.advance(41_999);
    expect(client.calls).toEqual(['attach ada']);
    await clock.advance(1);
    expect(client.calls).toEqual(['attach ada', 'attach ada', 'pull']);
    await loop.stop();
  });

  test('an attach that fails is repeated with a back-off; one that conflicts waits for the application', async () => {
    const { client, clock, start } = createLoopWorld();
    client.connected = false;
    client.attaches.push(error('transport_failed'), error('attach_binding_conflict'));
    const loop = await start({ userId: 'ada' });
    await clock.advance(1000);
    expect(client.count('attach ada')).toBe(2);
    await clock.advance(600_000);
    expect(client.count('attach ada')).toBe(2);
    expect(loop.state).toBe('blocked');
    loop.kick();
    await clock.settle();
    expect(client.calls).toEqual(['attach ada', 'attach ada', 'attach ada', 'pull']);
    await loop.stop();
  });

  test('a detach by the application ends all requests; the loop does not attach again by itself', async () => {
    const { client, clock, start } = createLoopWorld();
    client.connected = false;
    const loop = await start({ ...AUTO, userId: 'ada' });
    client.changeAttachment('detached');
    await clock.settle();
    expect(client.openStreams[0]?.isClosed).toBe(true);
    await clock.advance(600_000);
    expect(client.calls).toEqual(['attach ada', 'watch']);
    await loop.stop();
  });
});

describe('status of the loop', () => {
  test('listeners see each change once, with a new object; the same object stays while nothing changes', async () => {
    const { client, clock, start } = createLoopWorld();
    const loop = await start(AUTO);
    const seen: string[] = [];
    loop.subscribe(() => {
      throw new Error('a listener of the application');
    });
    const unsubscribe = loop.subscribe((status) => seen.push(`${status.state} ${status.pendingRowCount}`));
    const before = loop.status;
    await clock.advance(1000);
    expect(loop.status).toBe(before);
    client.write();
    await clock.advance(250);
    expect(seen).toEqual(['idle 1', 'syncing 1', 'syncing 0', 'syncing 0', 'idle 0']);
    expect(loop.status.lastSyncedAt).toBe(clock.epochMs());
    unsubscribe();
    client.write();
    await clock.advance(250);
    expect(seen.length).toBe(5);
    await loop.stop();
  });
});

describe('options of the loop', () => {
  test('defaults are those of the contract, later objects win, undefined means default', () => {
    const options = resolveLoopOptions({ uploadDebounceMs: 10, backoffMinMs: 5 }, { uploadDebounceMs: 20 });
    expect(options).toMatchObject({
      automaticDownloadIntervalMs: 60_000,
      bundleChangeWatchMode: 'off',
      uploadDebounceMs: 20,
      backoffMinMs: 5,
    });
  });

  test('unknown names, wrong types and ranges are refused by name', () => {
    const refused = (given: object): unknown => {
      try {
        resolveLoopOptions(given);
        return null;
      } catch (caught) {
        return caught instanceof SyncError ? caught.details['option'] : caught;
      }
    };
    expect(refused({ bundleChangeWatchMode: 'on' })).toBe('bundleChangeWatchMode');
    expect(refused({ automaticDownloadIntervalMs: 0 })).toBe('automaticDownloadIntervalMs');
    expect(refused({ backoffMinMs: 10, backoffMaxMs: 9 })).toBe('backoffMinMs');
    expect(refused({ hiddenGraceMs: 2 ** 31 })).toBe('hiddenGraceMs');
    expect(refused({ backoffJitterRatio: 2 })).toBe('backoffJitterRatio');
    expect(refused({ userId: ' ' })).toBe('userId');
    expect(refused({ intervalMs: 5 })).toBe('intervalMs');
    expect(refused({ autoRecover: 'yes' })).toBe('autoRecover');
  });
});
