import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { HttpTransport } from '../ports/transport.ts';
import { FaultPlan, faultyTransport } from './test-crash.ts';
import { createTestServer } from './test-device.ts';
import { DeviceFolder, manyUsers } from './test-file-device.ts';
import type { FileDevice } from './test-file-device.ts';
import { refuse, text } from './test-server.ts';

/** Rows are handed over 200 at a time, so half a chunk is two pages. */
const CHUNK_ROWS = 800;
const USERS = 2000;

let files = new DeviceFolder();
let server = createTestServer();
/** Chunk requests in their order: first ordinal, and the signal that ends them. */
let asked: { readonly after: string; readonly signal: AbortSignal }[] = [];

beforeEach(() => {
  files = new DeviceFolder();
  server = createTestServer();
  server.write(manyUsers(USERS));
  asked = [];
});

afterEach(() => files.remove());

const ordinals = (): readonly string[] => asked.map(({ after }) => after);

const listening =
  (inner: HttpTransport): HttpTransport =>
  (request) => {
    const after = new URL(request.url).searchParams.get('after_row_ordinal');
    if (after !== null) asked.push({ after, signal: request.signal });
    return inner(request);
  };

async function openDevice(transport: HttpTransport = server.fetch): Promise<FileDevice> {
  const device = files.device(server, 'app.db', { snapshotChunkRows: CHUNK_ROWS, ports: { http: listening(transport) } });
  await device.client.open();
  return device;
}

/** A body whose second part comes when `isReady` resolves. */
async function inTwoParts(answer: Response, share: number, isReady: () => Promise<unknown>): Promise<Response> {
  const bytes = new Uint8Array(await answer.arrayBuffer());
  const cut = Math.floor(bytes.length * share);
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(bytes.subarray(0, cut)),
    pull: async (controller) => {
      await isReady();
      controller.enqueue(bytes.subarray(cut));
      controller.close();
    },
  });
  return new Response(body, { status: 200 });
}

async function checkEnd({ client, list }: FileDevice): Promise<void> {
  expect(list('SELECT count(*) FROM users')).toEqual([String(USERS)]);
  await client.close();
}

describe('the request of the next chunk', () => {
  it('is sent while a chunk is still arriving, one at a time, never past the end', async () => {
    const second = Promise.withResolvers<void>();
    server.override('snapshot_chunk', async (_request, answer) => inTwoParts(await answer(), 0.8, () => second.promise));
    server.override('snapshot_chunk', (_request, answer) => {
      second.resolve();
      return answer();
    });
    const device = await openDevice();
    await device.client.attach('user-1');
    expect(ordinals()).toEqual(['0', '800', '1600']);
    await checkEnd(device);
  });

  it('is answered into a body that nobody reads before its turn', async () => {
    const reads: string[] = [];
    const second = Promise.withResolvers<void>();
    server.override('snapshot_chunk', async (_request, answer) => inTwoParts(await answer(), 0.8, () => second.promise));
    server.override('snapshot_chunk', async (_request, answer) => {
      const bytes = new Uint8Array(await (await answer()).arrayBuffer());
      const body = new ReadableStream<Uint8Array>(
        {
          pull: (controller) => {
            reads.push(ordinals().join());
            controller.enqueue(bytes);
            controller.close();
          },
        },
        { highWaterMark: 0 },
      );
      second.resolve();
      return new Response(body, { status: 200 });
    });
    const device = await openDevice();
    let staged = 0;
    device.client.subscribe((event) => {
      if (event.type !== 'progress' || event.phase !== 'staging') return;
      if (event.rowsDone === CHUNK_ROWS) staged = reads.length;
    });
    await device.client.attach('user-1');
    expect(staged).toBe(0);
    expect(reads).toEqual(['0,800']);
    await checkEnd(device);
  });

  it('is dropped, and sent again for the right place, when bytes ended a chunk early', async () => {
    server.override('snapshot_chunk', async (_request, answer) => {
      const [, head = '', rows = '', tail = ''] = /^(.*"rows":\[)(.*)(\],.*)$/.exec(await (await answer()).text()) ?? [];
      const kept = rows.split(/,(?=\{"schema")/).slice(0, 500);
      const byteCount = kept.reduce((sum, row) => sum + row.length, 0);
      const end = tail
        .replace(/"next_row_ordinal":\d+/, '"next_row_ordinal":500')
        .replace(/"byte_count":\d+/, `"byte_count":${byteCount}`);
      return text(200, `${head}${kept.join(',')}${end}`);
    });
    const device = await openDevice();
    await device.client.attach('user-1');
    expect(ordinals()).toEqual(['0', '800', '500', '1300']);
    expect(asked.map(({ signal }) => signal.aborted)).toEqual([false, true, false, false]);
    await checkEnd(device);
  });

  it('is dropped before a chunk that broke off is asked for again', async () => {
    server.override('snapshot_chunk', async (_request, answer) =>
      inTwoParts(await answer(), 0.8, () => Promise.reject(new TypeError('connection reset'))),
    );
    const abortedAtRetry: boolean[] = [];
    server.override('snapshot_chunk', (_request, answer) => answer());
    server.override('snapshot_chunk', (_request, answer) => {
      abortedAtRetry.push(...asked.map(({ signal }) => signal.aborted));
      return answer();
    });
    const device = await openDevice();
    await device.client.attach('user-1');
    expect(ordinals()).toEqual(['0', '800', '0', '800', '1600']);
    expect(abortedAtRetry).toEqual([false, true, false]);
    await checkEnd(device);
  });

  it('that fails or is refused counts as the first attempt of its chunk', async () => {
    server.override('snapshot_chunk', (_request, answer) => answer());
    server.override('snapshot_chunk', () => Promise.reject(new TypeError('connection reset')));
    server.override('snapshot_chunk', () => refuse(429, 'snapshot_chunk_capacity', {}, { 'Retry-After': '1' }));
    const device = await openDevice();
    await device.client.attach('user-1');
    expect(ordinals()).toEqual(['0', '800', '800', '800', '1600']);
    await checkEnd(device);
  });

  it('that finds the session lost fails the rebuild like any other', async () => {
    server.override('snapshot_chunk', (_request, answer) => answer());
    server.override('snapshot_chunk', () => refuse(410, 'snapshot_session_expired'));
    const device = await openDevice();
    await expect(device.client.attach('user-1')).rejects.toMatchObject({ code: 'snapshot_session_lost' });
    expect(device.list('SELECT count(*) FROM users')).toEqual(['0']);
    await device.client.attach('user-1');
    await checkEnd(device);
  });

  it('ends with the call', async () => {
    const stop = new AbortController();
    const second = Promise.withResolvers<void>();
    server.override('snapshot_chunk', async (_request, answer) =>
      inTwoParts(await answer(), 0.8, async () => {
        await second.promise;
        stop.abort();
        await new Promise(() => undefined);
      }),
    );
    server.override('snapshot_chunk', () => {
      second.resolve();
      return new Promise(() => undefined);
    });
    const device = await openDevice();
    await expect(device.client.attach('user-1', { signal: stop.signal })).rejects.toMatchObject({ code: 'aborted' });
    expect(asked.map(({ after, signal }) => [after, signal.aborted])).toEqual([
      ['0', true],
      ['800', true],
    ]);
    await device.client.attach('user-1');
    await checkEnd(device);
  });

  it.each(['unanswered', 'cut'] as const)('may be the one that is %s: every row arrives once', async (loss) => {
    for (let at = 1; at <= 7; at += 1) {
      const plan = new FaultPlan('fails', at, () => undefined);
      const name = `${loss}-${at}.db`;
      const transport = faultyTransport(server.fetch, plan, loss);
      const device = files.device(server, name, { snapshotChunkRows: CHUNK_ROWS, ports: { http: transport } });
      await device.client.open();
      plan.arm();
      await device.client.attach('user-1');
      expect(plan.hasStruck).toBe(true);
      await checkEnd(device);
    }
  });
});
