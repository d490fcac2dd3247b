import { createSseReader, isSyncError } from '@oversync/protocol';
import type { WatchEvent } from '@oversync/protocol';
import { describe, expect, it } from 'vitest';

import { WatchServer } from '../../packages/client/src/engine/automatic/test-watch-server.ts';
import { createTestServer, openAttachedDevice } from '../../packages/client/src/engine/test-device.ts';
import { gzipWithCompressionStream } from '../../packages/client/src/http/exchange.ts';
import type { HttpContext } from '../../packages/client/src/http/exchange.ts';
import { openWatchStream } from '../../packages/client/src/http/watch-stream.ts';
import type { EventStream } from '../../packages/client/src/http/watch-stream.ts';
import { createFixedRandom, createVirtualClock } from '../../packages/client/src/testing/virtual-clock.ts';
import { hasContracts, loadFixtures } from './fixtures.ts';
import { asArray, asObject, asString } from './json.ts';
import type { FixtureObject } from './json.ts';

const USERS_ONLY = [{ tableName: 'users', syncKeyColumnName: 'id' }];

function watch(respond: () => Response): Promise<EventStream> {
  const http: HttpContext = {
    baseUrl: new URL('https://sync.test/'),
    headers: () => ({}),
    transport: () => Promise.resolve(respond()),
    gzip: gzipWithCompressionStream,
    clock: createVirtualClock(),
    random: createFixedRandom(),
    timeouts: { requestTimeoutMs: 1000, bulkRequestTimeoutMs: 1000, bodyIdleTimeoutMs: 1000, watchIdleTimeoutMs: 1000 },
    acceptEncoding: 'gzip',
    retryPolicy: { enabled: false, maxAttempts: 1, initialBackoffMs: 0, maxBackoffMs: 0, jitterRatio: 0 },
    capacityRetryPolicy: { enabled: false, maxWaitMs: 0, fallbackDelayMs: 1, jitterRatio: 0 },
  };
  const { signal } = new AbortController();
  return openWatchStream(http, { sourceId: 'device', afterBundleSeq: 0n, signal, errorBytesMax: 65_536 });
}

function jsonResponse(fixture: FixtureObject): Response {
  return new Response(JSON.stringify(fixture['body']), {
    status: Number(fixture['status']),
    headers: { 'Content-Type': 'application/json' },
  });
}

/** Sequences of the stream, and the code of the fault that ended it. */
async function drain(stream: EventStream): Promise<{ readonly seqs: readonly bigint[]; readonly fault: string | null }> {
  const seqs: bigint[] = [];
  try {
    for (let event = await stream.next(); event !== null; event = await stream.next()) seqs.push(event.bundleSeq);
    return { seqs, fault: null };
  } catch (error) {
    return { seqs, fault: isSyncError(error) ? error.code : 'unknown' };
  }
}

function parse(text: string): readonly object[] {
  const events: WatchEvent[] = [];
  createSseReader({ onEvent: (event) => events.push(event) }).feed(new TextEncoder().encode(text));
  return events.map((event) => ({
    bundle_seq: Number(event.bundle_seq),
    source_id: event.source_id,
    source_bundle_id: Number(event.source_bundle_id),
  }));
}

describe.skipIf(!hasContracts).each([...loadFixtures('watch')])('watch fixtures: $name', ({ content }) => {
  const file = asObject(content);

  it.each(
    asArray(file['capabilitiesCases']).map((entry) => ({ name: asString(asObject(entry)['name']), entry: asObject(entry) })),
  )('[T105] capabilities: $name', async ({ entry }) => {
    const server = createTestServer();
    const streams = new WatchServer(server);
    const clock = createVirtualClock();
    server.override('capabilities', () => jsonResponse(asObject(entry['response'])), Number.POSITIVE_INFINITY);
    const options = { tables: USERS_ONLY, ports: { http: streams.fetch, clock } };
    const { client } = await openAttachedDevice(server, { options });
    const loop = client.start({ bundleChangeWatchMode: 'auto' });
    await clock.settle();
    expect(streams.attempts.length > 0).toBe(entry['expectedBundleChangeWatchSupported']);
    await loop.stop();
    await client.close();
  });

  it.each(asArray(file['sseCases']).map((entry) => ({ name: asString(asObject(entry)['name']), entry: asObject(entry) })))(
    '[T104] stream: $name',
    async ({ entry }) => {
      const text = `${asArray(entry['lines']).map(asString).join('\n')}\n`;
      const outcome = await drain(await watch(() => new Response(text, { headers: { 'Content-Type': 'text/event-stream' } })));
      const expected = asArray(entry['expectedEvents'] ?? []).map(asObject);
      expect(outcome).toEqual({
        seqs: expected.map((event) => BigInt(Number(event['bundle_seq']))),
        fault: entry['expectError'] === true ? 'protocol_violation' : null,
      });
      const parsed = entry['expectError'] === true ? [] : parse(text);
      expect(parsed).toEqual(expected);
    },
  );

  it.each(
    asArray(file['setupErrorResponses']).map((entry) => ({
      code: asString(asObject(entry)['expectedError']),
      entry: asObject(entry),
    })),
  )('[T105] set-up error: $code', async ({ code, entry }) => {
    await expect(watch(() => jsonResponse(entry))).rejects.toMatchObject({ code });
  });

  it.each(asArray(file['runtimeCases']).map((entry) => ({ name: asString(asObject(entry)['name']), entry: asObject(entry) })))(
    '[T105] run time: $name',
    async ({ entry }) => {
      const server = createTestServer();
      const streams = new WatchServer(server);
      const clock = createVirtualClock();
      const { client } = await openAttachedDevice(server, { options: { ports: { http: streams.fetch, clock } } });
      streams.answers.push({ refusal: jsonResponse(asObject(entry['response'])) });
      const loop = client.start({ bundleChangeWatchMode: 'auto' });
      await clock.settle();
      expect(streams.attempts.filter((attempt) => attempt.isReleased)).toHaveLength(Number(entry['expectedCloseCount']));
      expect(server.count('pull')).toBeGreaterThanOrEqual(Number(entry['expectedFallbackPullsAtLeast']));
      await loop.stop();
      await client.close();
    },
  );
});

if (!hasContracts) it.skip('needs the fixtures', () => undefined);
