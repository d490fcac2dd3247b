import { afterAll, beforeAll, expect, test } from 'vitest';

import { createRequest, newScope, openTestServer, pushNotes } from '../test-server.ts';
import type { TestServer } from '../test-server.ts';

/** Long enough that nothing here is found by polling or heartbeat by accident. */
const NEVER_MS = 600_000;
const SCOPES = 30;
const STREAMS_PER_SCOPE = 32;
const STREAMS = SCOPES * STREAMS_PER_SCOPE;

let target: TestServer;
beforeAll(async () => {
  target = await openTestServer({
    watch: { enabled: true, pollIntervalMs: NEVER_MS, heartbeatIntervalMs: NEVER_MS, maxStreamsPerProcess: STREAMS },
  });
});
afterAll(() => target.close());

async function openStream(scope: string): Promise<ReadableStreamDefaultReader<Uint8Array>> {
  const response = await target.server.fetch(createRequest('GET', '/sync/watch', { scope }));
  if (response.status !== 200 || response.body === null) throw new Error(`watch was answered with ${String(response.status)}`);
  return response.body.getReader();
}

async function readUntil(reader: ReadableStreamDefaultReader<Uint8Array>, wanted: string): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  while (!text.includes(wanted)) {
    const next = await reader.read();
    if (next.done) return `${text}END`;
    text += decoder.decode(next.value);
  }
  return text;
}

test('[O4] as many streams as the process allows hear of their own scope only, hold no connection, and all end with the server', async () => {
  const scopes = Array.from({ length: SCOPES }, newScope);
  for (const scope of scopes) await target.call('POST', '/sync/connect', { scope, body: {} });
  const streams = await Promise.all(
    scopes.flatMap((scope) =>
      Array.from({ length: STREAMS_PER_SCOPE }, async () => ({ scope, reader: await openStream(scope) })),
    ),
  );
  expect(target.counting.openTransactions).toBe(0);
  const refused = await target.call('GET', '/sync/watch', { scope: scopes[0] ?? '' });
  expect([refused.status, refused.json.error]).toStrictEqual([429, 'bundle_change_watch_capacity']);
  const [quiet, ...busy] = scopes;
  for (const scope of busy) await pushNotes(target, 1, [{ op: 'INSERT', id: 'n' }], { scope });
  const heard = await Promise.all(
    streams
      .filter(({ scope }) => scope !== quiet)
      .map(({ reader }) => readUntil(reader, 'event: bundle\ndata: {"bundle_seq":1,')),
  );
  expect(heard).toHaveLength(STREAMS - STREAMS_PER_SCOPE);
  expect(new Set(heard.map((text) => text.endsWith('END')))).toStrictEqual(new Set([false]));
  await target.server.close({ timeoutMs: 5000 });
  const ends = await Promise.all(streams.map(({ reader }) => readUntil(reader, 'never')));
  expect(new Set(ends.map((text) => text.endsWith('END')))).toStrictEqual(new Set([true]));
  expect(ends.filter((_, index) => streams[index]?.scope === quiet).join('')).not.toContain('event: bundle');
  expect(target.events.filter((event) => event.name === 'watchClosed').at(-1)).toMatchObject({ streams: 0, reason: 'shutdown' });
});
