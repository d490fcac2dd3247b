import { createSseReader } from '@oversync/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';

import type { SyncServer } from '../create-sync-server.ts';
import { createPgListener } from '../drivers/pg.ts';
import { createRequest, newScope, openTestServer, pushNotes, readAnswer } from '../test-server.ts';
import type { CallOptions, TestServer } from '../test-server.ts';

/** Long enough that nothing in these tests is found by polling or heartbeat by accident. */
const NEVER_MS = 600_000;

let target: TestServer;
beforeAll(async () => {
  target = await openTestServer({
    watch: { enabled: true, pollIntervalMs: NEVER_MS, heartbeatIntervalMs: NEVER_MS, notifyDebounceMs: 1 },
  });
});
afterAll(() => target.close());

async function openScope(): Promise<string> {
  const scope = newScope();
  await target.call('POST', '/sync/connect', { scope, body: {} });
  return scope;
}

/** One stream as a client reads it. */
async function watch(server: SyncServer, scope: string, query = '', options: CallOptions = {}) {
  const response = await server.fetch(createRequest('GET', `/sync/watch${query}`, { scope, ...options }));
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  let text = '';
  const readUntil = async (pattern: RegExp): Promise<string> => {
    while (!pattern.test(text)) {
      const next = await reader?.read();
      if (next === undefined || next.done) return `${text}END`;
      text += decoder.decode(next.value);
    }
    const seen = text;
    text = '';
    return seen;
  };
  return { response, readUntil, stop: () => reader?.cancel() };
}

const note = (id: string) => [{ op: 'INSERT', id } as const];

test('[O4] a stream starts with a comment, is never compressed, and its headers keep proxies from buffering', async () => {
  const scope = await openScope();
  const stream = await watch(target.server, scope, '', { headers: { 'accept-encoding': 'gzip' } });
  expect(stream.response.status).toBe(200);
  expect(Object.fromEntries(stream.response.headers)).toStrictEqual({
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache',
    'x-accel-buffering': 'no',
  });
  expect(await stream.readUntil(/\n\n/)).toBe(': connected\n\n');
  await stream.stop();
});

test('own commits are reported at once, with their source', async () => {
  const scope = await openScope();
  const stream = await watch(target.server, scope);
  await stream.readUntil(/connected\n\n/);
  await pushNotes(target, 1, note('a'), { scope });
  expect(await stream.readUntil(/data:.*\n\n/)).toBe(
    'event: bundle\ndata: {"bundle_seq":1,"source_id":"device-a","source_bundle_id":1}\n\n',
  );
  await stream.stop();
});

test('what a stream sends is what the client library reads', async () => {
  const scope = await openScope();
  await pushNotes(target, 1, note('a'), { scope });
  const stream = await watch(target.server, scope, '?after_bundle_seq=0');
  const text = await stream.readUntil(/data:.*\n\n/);
  const events: unknown[] = [];
  const reader = createSseReader({ onEvent: (event) => events.push(event) });
  reader.feed(new TextEncoder().encode(text));
  expect(events).toHaveLength(1);
  await stream.stop();
});

test('a refused push reports nothing', async () => {
  const scope = await openScope();
  await pushNotes(target, 1, note('a'), { scope });
  const stream = await watch(target.server, scope, '?after_bundle_seq=1');
  await stream.readUntil(/connected\n\n/);
  await expect(pushNotes(target, 2, note('a'), { scope })).rejects.toThrow('push_conflict');
  await pushNotes(target, 2, note('b'), { scope });
  expect(await stream.readUntil(/data:.*\n\n/)).toContain('"bundle_seq":2');
  await stream.stop();
});

test('set-up errors come in their order', async () => {
  const scope = await openScope();
  const answer = async (server: SyncServer, query: string, options: CallOptions = {}) => {
    const { status, json, headers } = await readAnswer(
      await server.fetch(createRequest('GET', `/sync/watch${query}`, { scope, ...options })),
    );
    return [status, json.error, headers.get('content-encoding')];
  };
  const refusing = await target.second({
    watch: { enabled: true, authorize: (actor) => actor.userId === 'ada', maxStreamsPerScope: 1, pollIntervalMs: NEVER_MS },
  });
  const off = await target.second({ watch: { enabled: false } });
  expect(await answer(refusing, '?after_bundle_seq=x')).toStrictEqual([403, 'bundle_change_watch_forbidden', null]);
  expect(await answer(refusing, '?after_bundle_seq=x', { user: 'ada' })).toStrictEqual([400, 'invalid_request', null]);
  expect(await answer(off, '?after_bundle_seq=x')).toStrictEqual([400, 'invalid_request', null]);
  expect(await answer(off, '')).toStrictEqual([503, 'bundle_change_watch_disabled', null]);
  expect(await answer(refusing, '', { user: 'ada', scope: newScope() })).toStrictEqual([409, 'scope_uninitialized', null]);
  const stream = await watch(refusing, scope, '', { user: 'ada' });
  expect(await answer(refusing, '', { user: 'ada' })).toStrictEqual([429, 'bundle_change_watch_capacity', null]);
  await stream.stop();
  const again = await watch(refusing, scope, '', { user: 'ada' });
  expect(again.response.status).toBe(200);
  await again.stop();
  const capabilities = async (user: string) =>
    (await readAnswer(await refusing.fetch(createRequest('GET', '/sync/capabilities', { scope, user })))).json.features
      .bundle_change_watch;
  expect([await capabilities('ada'), await capabilities('bob')]).toStrictEqual([true, false]);
});

test('[P10] a commit of another process arrives by notification, outside the bundle transaction', async () => {
  const listening = new Promise<void>((resolve) => {
    void target
      .second({
        listenDatabase: createPgListener({ connectionString: target.url }),
        watch: { enabled: true, pollIntervalMs: NEVER_MS },
        onEvent: (event) => {
          if (event.name === 'listenerState' && event.state === 'listening') resolve();
        },
      })
      .then((server) => {
        other = server;
      });
  });
  let other: SyncServer | undefined;
  await listening;
  const scope = await openScope();
  const stream = await watch(other ?? target.server, scope);
  await stream.readUntil(/connected\n\n/);
  await pushNotes(target, 1, note('a'), { scope });
  expect(await stream.readUntil(/data:.*\n\n/)).toContain('"bundle_seq":1,"source_id":"device-a"');
  await stream.stop();
});

test('[O5] without a listener a commit of another process is found by polling', async () => {
  const polling = await target.second({ watch: { enabled: true, pollIntervalMs: 20 } });
  const scope = await openScope();
  const stream = await watch(polling, scope);
  await stream.readUntil(/connected\n\n/);
  await pushNotes(target, 1, note('a'), { scope });
  expect(await stream.readUntil(/data:.*\n\n/)).toBe('event: bundle\ndata: {"bundle_seq":1}\n\n');
  await stream.stop();
});

test('[O5] a lost listener connects again and catches up what it missed; foreign notifications are ignored', async () => {
  const states: string[] = [];
  const waiters: (() => void)[] = [];
  const listener = await target.second({
    listenDatabase: createPgListener({ connectionString: target.url, application_name: 'oversync-test-listener' }),
    watch: { enabled: true, pollIntervalMs: NEVER_MS },
    onEvent: (event) => {
      if (event.name === 'listenerState') states.push(event.state);
      if (event.name === 'notificationIgnored') states.push('ignored');
      for (const wake of waiters.splice(0)) wake();
    },
  });
  const until = async (count: number): Promise<void> => {
    while (states.length < count) await new Promise<void>((resolve) => waiters.push(resolve));
  };
  await until(1);
  await target.query(`SELECT pg_notify('oversync_bundle_change_v1', '{"scope_pk":"x"}')`);
  await until(2);
  const scope = await openScope();
  const stream = await watch(listener, scope);
  await stream.readUntil(/connected\n\n/);
  await target.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'oversync-test-listener'`);
  await until(3);
  await pushNotes(target, 1, note('a'), { scope });
  expect(await stream.readUntil(/data:.*\n\n/)).toContain('"bundle_seq":1');
  expect(states.slice(0, 3)).toStrictEqual(['listening', 'ignored', 'lost']);
  await stream.stop();
});

test('[O4] closing the server ends its streams first and refuses new ones', async () => {
  const other = await target.second({ watch: { enabled: true, pollIntervalMs: NEVER_MS } });
  const scope = await openScope();
  const stream = await watch(other, scope);
  await stream.readUntil(/connected\n\n/);
  await other.close();
  expect(await stream.readUntil(/never/)).toContain('END');
  const refused = await readAnswer(await other.fetch(createRequest('GET', '/sync/watch', { scope })));
  expect([refused.status, refused.json.error]).toStrictEqual([503, 'service_unavailable']);
});
