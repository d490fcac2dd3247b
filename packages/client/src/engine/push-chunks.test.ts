import { array, assert, asyncProperty, constantFrom } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isJsonObject } from '@oversync/protocol';

import { createTestServer, openAttachedDevice } from './test-device.ts';
import type { TestDevice } from './test-device.ts';
import { refuse } from './test-server.ts';
import type { SeenRequest, TestServer } from './test-server.ts';

const insertUsers = (from: number, to: number): string =>
  Array.from({ length: to - from + 1 }, (_value, index) => `INSERT INTO users(id, name) VALUES ('u${from + index}', 'n');`).join(
    '',
  );

const idsOf = (from: number, to: number): readonly string[] =>
  Array.from({ length: to - from + 1 }, (_value, index) => `u${from + index}`).toSorted();

/** A device that sends one row in each chunk. */
async function start(setup: Parameters<typeof openAttachedDevice>[1] = {}): Promise<{ server: TestServer; device: TestDevice }> {
  const server = createTestServer();
  return { server, device: await openAttachedDevice(server, { ...setup, options: { uploadLimit: 1, ...setup.options } }) };
}

const startOf = ({ body }: SeenRequest): unknown => (isJsonObject(body) ? body['start_row_ordinal'] : undefined);
const chunksOf = (server: TestServer): readonly unknown[] =>
  server.seen.filter(({ operation }) => operation === 'push_session_chunk').map(startOf);

/** Resolves when the server has seen so many chunks. */
async function seenChunks(server: TestServer, count: number): Promise<void> {
  while (chunksOf(server).length < count) await new Promise((resolve) => setImmediate(resolve));
}

async function checkPushed(server: TestServer, device: TestDevice, ids: readonly string[]): Promise<void> {
  expect((await device.client.pendingSyncStatus()).hasPendingSyncData).toBe(false);
  expect(Object.keys(server.rowsOf('users')).toSorted()).toEqual(ids);
  expect(device.list('SELECT id FROM users ORDER BY id')).toEqual(ids);
}

describe('chunks that are sent ahead', () => {
  it('the next chunk is on its way before the last one is answered, and never one more', async () => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 4));
    let underWay = 0;
    let most = 0;
    let line: Promise<unknown> = Promise.resolve();
    // A server that lets a chunk wait for the one before it, and answers none but the last before the next has come.
    const inLine = async (request: SeenRequest, answer: () => Promise<Response>): Promise<Response> => {
      most = Math.max(most, (underWay += 1));
      const before = line;
      const done = Promise.withResolvers<undefined>();
      line = done.promise;
      if (startOf(request) !== 3) await seenChunks(server, Number(startOf(request)) + 2);
      await before;
      const response = await answer();
      underWay -= 1;
      done.resolve(undefined);
      return response;
    };
    server.override('push_session_chunk', inLine, 4);
    expect((await device.client.pushPending()).outcome).toBe('committed');
    expect(chunksOf(server)).toEqual([0, 1, 2, 3]);
    expect(most).toBe(2);
    await checkPushed(server, device, idsOf(1, 4));
  });

  it('nothing is sent ahead to a server that does not announce that it waits', async () => {
    const { server, device } = await start();
    delete server.features['push_chunks_ahead'];
    device.sql(insertUsers(1, 3));
    let underWay = 0;
    server.override(
      'push_session_chunk',
      async (_request, answer) => {
        underWay += 1;
        for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
        expect(underWay).toBe(1);
        underWay -= 1;
        return answer();
      },
      3,
    );
    expect((await device.client.pushPending()).outcome).toBe('committed');
  });

  it('one that arrives first is sent again in its turn', async () => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 3));
    server.override('push_session_chunk', async (_request, answer) => {
      await seenChunks(server, 2);
      return answer();
    });
    server.override('push_session_chunk', () => refuse(409, 'push_chunk_out_of_order'));
    expect((await device.client.pushPending()).outcome).toBe('committed');
    expect(chunksOf(server)).toEqual([0, 1, 1, 2]);
    expect(server.count('push_session_create')).toBe(1);
    await checkPushed(server, device, idsOf(1, 3));
  });

  it('after two in a row that came too early a push goes on one by one; the next push tries once', async () => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 5));
    const tooEarly = async (request: SeenRequest, answer: () => Promise<Response>): Promise<Response> => {
      const isFirst = chunksOf(server).filter((ordinal) => ordinal === startOf(request)).length === 1;
      return isFirst && startOf(request) !== 0 ? refuse(409, 'push_chunk_out_of_order') : answer();
    };
    server.override('push_session_chunk', tooEarly, 5);
    expect((await device.client.pushPending()).outcome).toBe('committed');
    expect(chunksOf(server)).toEqual([0, 1, 1, 2, 2, 3, 4]);
    server.seen.length = 0;
    device.sql(insertUsers(6, 10));
    server.override('push_session_chunk', tooEarly, 3);
    expect((await device.client.pushPending()).outcome).toBe('committed');
    expect(chunksOf(server)).toEqual([0, 1, 1, 2, 3, 4]);
    await checkPushed(server, device, idsOf(1, 10));
  });

  it('a refusal that comes in its turn as well begins a new session', async () => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 2));
    server.override('push_session_chunk', (_request, answer) => answer());
    server.override('push_session_chunk', () => refuse(409, 'push_chunk_out_of_order'), 2);
    expect((await device.client.pushPending()).outcome).toBe('committed');
    expect(server.count('push_session_create')).toBe(2);
    await checkPushed(server, device, idsOf(1, 2));
  });

  it('[T50] an answer that is lost behind which the next chunk was staged doubles nothing', async () => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 3));
    server.override('push_session_chunk', async (_request, answer) => {
      await answer();
      await seenChunks(server, 2);
      throw new TypeError('cut');
    });
    expect((await device.client.pushPending()).outcome).toBe('committed');
    expect(chunksOf(server)).toEqual([0, 1, 0, 2]);
    await checkPushed(server, device, idsOf(1, 3));
  });

  it('[T49] one whose answer is lost is sent again', async () => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 3));
    server.override('push_session_chunk', (_request, answer) => answer());
    server.override('push_session_chunk', async (_request, answer) => {
      await answer();
      throw new TypeError('cut');
    });
    expect((await device.client.pushPending()).outcome).toBe('committed');
    expect(chunksOf(server)).toEqual([0, 1, 2, 1]);
    await checkPushed(server, device, idsOf(1, 3));
  });

  it('the one behind a chunk whose content is refused is given up', async () => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 3));
    const violation = { kind: 'check', schema: 'main', table: 'users', key: { id: 'u1' }, row_ordinal: 0 };
    const given = Promise.withResolvers<undefined>();
    server.override('push_session_chunk', async () => {
      await seenChunks(server, 2);
      return refuse(400, 'push_chunk_invalid', { violation });
    });
    server.override('push_session_chunk', async () => {
      await given.promise;
      return refuse(404, 'push_session_not_found');
    });
    const report = await device.client.pushPending();
    given.resolve(undefined);
    expect(report.quarantined).toMatchObject([{ key: 'u1', code: 'check' }]);
    expect(Object.keys(server.rowsOf('users')).toSorted()).toEqual(['u2', 'u3']);
  });

  it('[T50] a call that ends with two chunks under way is continued by the next one', async () => {
    const { server, device } = await start({ options: { retryPolicy: { enabled: false } } });
    device.sql(insertUsers(1, 5));
    server.override('push_session_chunk', async () => {
      await seenChunks(server, 2);
      throw new TypeError('cut');
    });
    server.override('push_session_chunk', () => refuse(409, 'push_chunk_out_of_order'));
    await expect(device.client.pushPending()).rejects.toMatchObject({ code: 'transport_failed' });
    await device.client.pushPending();
    await checkPushed(server, device, idsOf(1, 5));
    expect(server.head).toBe(1n);
  });

  it('[T50] [I3] whatever happens to chunks, the rows are committed once', async () => {
    type Fate = 'answered' | 'late' | 'lost' | 'unanswered' | 'early' | 'busy';
    const fates = array(constantFrom<Fate>('answered', 'answered', 'late', 'lost', 'unanswered', 'early', 'busy'), {
      maxLength: 12,
    });
    await assert(
      asyncProperty(fates, async (list) => {
        const { server, device } = await start();
        device.sql(insertUsers(1, 7));
        for (const fate of list) {
          server.override('push_session_chunk', async (_request, answer) => {
            if (fate === 'lost') throw new TypeError('reset');
            if (fate === 'early') return refuse(409, 'push_chunk_out_of_order');
            if (fate === 'busy') return refuse(503, 'service_unavailable');
            if (fate === 'late') for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
            const response = await answer();
            if (fate === 'unanswered') throw new TypeError('cut');
            return response;
          });
        }
        for (let call = 0; call < 12 && (await device.client.pendingSyncStatus()).hasPendingSyncData; call += 1)
          await device.client.pushPending().catch(() => undefined);
        await checkPushed(server, device, idsOf(1, 7));
        expect(server.head).toBe(1n);
        await device.client.close();
      }),
      { numRuns: 60 },
    );
  });
});
