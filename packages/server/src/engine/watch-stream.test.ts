import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { WatchStream } from './watch-stream.ts';
import type { WatchEnd } from './watch-stream.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const decoder = new TextDecoder();

function open(lifetimeMs = 1_000_000) {
  const ends: WatchEnd[] = [];
  const stream = new WatchStream({ heartbeatIntervalMs: 1000, lifetimeMs, onEnd: (reason) => ends.push(reason) });
  const reader = stream.readable.getReader();
  const read = async (): Promise<string> => {
    const next = await reader.read();
    return next.done ? 'END' : decoder.decode(next.value);
  };
  return { stream, read, reader, ends };
}

test('[O4] a comment is there at once, before anything happens', async () => {
  const { stream, read } = open();
  stream.open(0n, 0n);
  expect(await read()).toBe(': connected\n\n');
});

test('a client behind the head gets an event at once, one that is up to date none', async () => {
  const behind = open();
  behind.stream.open(5n, 3n);
  await behind.read();
  expect(await behind.read()).toBe('event: bundle\ndata: {"bundle_seq":5}\n\n');

  const current = open();
  current.stream.open(5n, 5n);
  await current.read();
  current.stream.deliver({ bundleSeq: 5n });
  current.stream.deliver({ bundleSeq: 6n, source: { sourceId: 'a', sourceBundleId: 2n } });
  expect(await current.read()).toBe('event: bundle\ndata: {"bundle_seq":6,"source_id":"a","source_bundle_id":2}\n\n');
});

test('a client ahead of a restored server gets an event at once', async () => {
  const { stream, read } = open();
  stream.open(5n, 9n);
  await read();
  expect(await read()).toContain('"bundle_seq":5');
});

test('events that wait for the socket merge into the newest, and sequences never go down', async () => {
  const { stream, read } = open();
  stream.open(0n, 0n);
  for (const bundleSeq of [1n, 2n, 5n, 4n]) stream.deliver({ bundleSeq });
  await read();
  expect(await read()).toContain('"bundle_seq":5');
  stream.deliver({ bundleSeq: 3n });
  stream.deliver({ bundleSeq: 6n });
  expect(await read()).toContain('"bundle_seq":6');
});

test('a notice between subscription and reading the head is not lost', async () => {
  const { stream, read } = open();
  await read();
  stream.deliver({ bundleSeq: 8n, source: { sourceId: 'a', sourceBundleId: 1n } });
  stream.open(7n, 7n);
  expect(await read()).toContain('"bundle_seq":8,"source_id":"a"');
});

test('a quiet stream carries heartbeats', async () => {
  const { stream, read } = open();
  stream.open(0n, 0n);
  await read();
  await vi.advanceTimersByTimeAsync(1000);
  expect(await read()).toBe(': heartbeat\n\n');
});

test('a socket that does not drain for two heartbeats is given up', async () => {
  const { stream, ends, reader } = open();
  stream.open(0n, 0n);
  await vi.advanceTimersByTimeAsync(1999);
  expect(ends).toStrictEqual([]);
  await vi.advanceTimersByTimeAsync(2);
  expect(ends).toStrictEqual(['stalled']);
  await expect(reader.read()).rejects.toThrow('does not read');
});

test('[O4] a stream ends after its lifetime, at shutdown, or with its client, and only once', async () => {
  const old = open(500);
  old.stream.open(0n, 0n);
  await old.read();
  await vi.advanceTimersByTimeAsync(500);
  expect(await old.read()).toBe('END');
  old.stream.end('shutdown');
  expect(old.ends).toStrictEqual(['lifetime']);

  const left = open();
  await left.reader.cancel();
  left.stream.deliver({ bundleSeq: 1n });
  expect(left.ends).toStrictEqual(['client']);
  expect(vi.getTimerCount()).toBe(0);
});
