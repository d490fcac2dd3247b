import { gzipSync } from 'node:zlib';

import { afterAll, beforeAll, expect, test } from 'vitest';

import type { SyncServer } from '../create-sync-server.ts';
import type { SyncServerOptions } from '../engine/options.ts';
import { createRequest, manyNotes, newScope, openTestServer, pushNotes, readAnswer } from '../test-server.ts';
import type { Answer, CallOptions, TestServer } from '../test-server.ts';

let target: TestServer;
beforeAll(async () => {
  target = await openTestServer();
});
afterAll(() => target.close());

/** One server with the limit under test, in a scope of its own. */
class Peer {
  readonly scope = newScope();
  readonly server: SyncServer;

  constructor(server: SyncServer) {
    this.server = server;
  }

  async call(method: string, path: string, options: CallOptions = {}): Promise<Answer> {
    return readAnswer(await this.server.fetch(createRequest(method, path, { scope: this.scope, ...options })));
  }

  /** The path of a new push session. */
  async createPush(plannedRowCount: number): Promise<string> {
    const body = { source_bundle_id: 1, planned_row_count: plannedRowCount, canonical_request_hash: 'a'.repeat(64) };
    const { json } = await this.call('POST', '/sync/push-sessions', { body });
    return `/sync/push-sessions/${json.push_id}`;
  }
}

const noteRow = (id: string) => ({
  schema: 'business',
  table: 'notes',
  key: { id },
  op: 'INSERT',
  base_row_version: 0,
  payload: { id, title: 't', amount: '1' },
});
const chunkBody = (rowCount: number) =>
  JSON.stringify({ start_row_ordinal: 0, rows: Array.from({ length: rowCount }, (_, index) => noteRow(`k${String(index)}`)) });
const zipped = (text: string): CallOptions => ({
  rawBody: new Uint8Array(gzipSync(text)),
  headers: { 'content-encoding': 'gzip' },
});

async function sendChunk(peer: Peer, rowCount: number, options: CallOptions): Promise<Answer> {
  return peer.call('POST', `${await peer.createPush(rowCount)}/chunks`, options);
}

/** Pushes rows to the end, or to the answer that refuses them. */
async function push(peer: Peer, rowCount: number): Promise<Answer> {
  let last: Answer | undefined;
  const watched: Peer['call'] = async (method, path, options) => {
    last = await peer.call(method, path, options);
    return last;
  };
  await pushNotes({ call: watched }, 1, manyNotes(rowCount), { scope: peer.scope }).catch(() => undefined);
  if (last === undefined) throw new Error('nothing was sent');
  return last;
}

async function openSessions(peer: Peer, path: string, count: number, body?: object): Promise<Answer> {
  const answers: Answer[] = [];
  for (let source = 0; source < count; source += 1)
    answers.push(await peer.call('POST', path, { source: `device-${String(source)}`, ...(body === undefined ? {} : { body }) }));
  expect(answers.slice(0, -1).map(({ status }) => status)).toStrictEqual(answers.slice(1).map(() => 200));
  const [last] = answers.slice(-1);
  if (last === undefined) throw new Error('no session was asked for');
  return last;
}

async function openStreams(peer: Peer, scopes: readonly string[]): Promise<Answer> {
  for (const scope of scopes) await peer.call('POST', '/sync/connect', { scope, body: {} });
  const gone = new AbortController();
  try {
    const open = (scope: string) => peer.server.fetch(createRequest('GET', '/sync/watch', { scope, signal: gone.signal }));
    for (const scope of scopes.slice(1)) expect((await open(scope)).status).toBe(200);
    const last = await open(scopes[0] ?? '');
    if (last.status !== 200) return await readAnswer(last);
    await last.body?.cancel();
    return { status: 200, headers: last.headers, text: '', json: {} as Answer['json'] };
  } finally {
    gone.abort();
  }
}

interface Limit {
  readonly name: string;
  /** What the request needs: allowed when the limit is this, refused when it is one less. */
  readonly actual: number | ((peer: Peer) => Promise<number>);
  readonly options: (limit: number) => Partial<SyncServerOptions>;
  readonly run: (peer: Peer) => Promise<Answer>;
  readonly status: number;
  readonly code: string;
  /** Members besides name and limit; a session's limits have members of their own. */
  readonly facts?: object;
}

const control = `{"pad":"${'x'.repeat(300)}"}`;
const nested = `{"x":${'['.repeat(19)}${']'.repeat(19)}}`;
const session = { source_bundle_id: 1, planned_row_count: 1, canonical_request_hash: 'a'.repeat(64) };

/** Every limit of a request that is not about what happens at the same time; those are in concurrency.pg.test.ts. */
const limits: readonly Limit[] = [
  {
    name: 'maxRequestBodyBytes',
    actual: chunkBody(3).length,
    options: (limit) => ({ maxRequestBodyBytes: limit }),
    run: (peer) => sendChunk(peer, 3, { rawBody: chunkBody(3) }),
    status: 413,
    code: 'request_too_large',
  },
  {
    name: 'maxRequestBodyBytes',
    actual: gzipSync(chunkBody(3)).byteLength,
    options: (limit) => ({ maxRequestBodyBytes: limit }),
    run: (peer) => sendChunk(peer, 3, zipped(chunkBody(3))),
    status: 413,
    code: 'request_too_large',
  },
  {
    name: 'maxDecodedBodyBytes',
    actual: chunkBody(3).length,
    options: (limit) => ({ maxDecodedBodyBytes: limit }),
    run: (peer) => sendChunk(peer, 3, zipped(chunkBody(3))),
    status: 413,
    code: 'request_too_large',
  },
  {
    name: 'maxControlBodyBytes',
    actual: control.length,
    options: (limit) => ({ maxControlBodyBytes: limit }),
    run: (peer) => peer.call('POST', '/sync/connect', { rawBody: control }),
    status: 413,
    code: 'request_too_large',
  },
  {
    name: 'maxControlBodyBytes',
    actual: control.length,
    options: (limit) => ({ maxControlBodyBytes: limit }),
    run: (peer) => peer.call('POST', '/sync/connect', zipped(control)),
    status: 413,
    code: 'request_too_large',
  },
  {
    name: 'maxJsonDepth',
    actual: 20,
    options: (limit) => ({ maxJsonDepth: limit }),
    run: (peer) => peer.call('POST', '/sync/connect', { rawBody: nested }),
    status: 400,
    code: 'invalid_request',
  },
  {
    name: 'maxRowsPerPushChunk',
    actual: 3,
    options: (limit) => ({ maxRowsPerPushChunk: limit, defaultRowsPerPushChunk: 1 }),
    run: (peer) => sendChunk(peer, 3, { rawBody: chunkBody(3) }),
    status: 400,
    code: 'push_chunk_invalid',
  },
  {
    name: 'maxPlannedRowsPerPush',
    actual: 3,
    options: (limit) => ({ maxPlannedRowsPerPush: limit }),
    run: (peer) => push(peer, 3),
    status: 400,
    code: 'push_session_invalid',
  },
  {
    name: 'maxRowsPerBundle',
    actual: 3,
    options: (limit) => ({ maxRowsPerBundle: limit, maxPlannedRowsPerPush: 10 }),
    run: (peer) => push(peer, 3),
    status: 400,
    code: 'push_commit_invalid',
  },
  {
    name: 'maxBytesPerBundle',
    actual: async (peer) => {
      await push(peer, 3);
      const { rows } = await target.query(
        'SELECT b.canonical_bytes FROM sync.bundle b JOIN sync.scope s USING (scope_pk) WHERE s.scope_id = $1',
        [peer.scope],
      );
      return Number(rows[0]?.[0]);
    },
    options: (limit) => ({ maxBytesPerBundle: limit }),
    run: (peer) => push(peer, 3),
    status: 400,
    code: 'push_commit_invalid',
  },
  {
    name: 'maxBytesPerSnapshotRow',
    actual: async (peer) => {
      await push(peer, 1);
      return (await peer.call('POST', '/sync/snapshot-sessions')).json.byte_count;
    },
    options: (limit) => ({ maxBytesPerSnapshotRow: limit }),
    run: (peer) => push(peer, 1),
    status: 400,
    code: 'push_commit_invalid',
  },
  {
    name: 'maxPushSessionsPerScope',
    actual: 3,
    options: (limit) => ({ maxPushSessionsPerScope: limit }),
    run: (peer) => openSessions(peer, '/sync/push-sessions', 3, session),
    status: 429,
    code: 'push_session_capacity',
    facts: { actual: 3 },
  },
  {
    name: 'maxSnapshotSessionsPerScope',
    actual: 3,
    options: (limit) => ({ maxSnapshotSessionsPerScope: limit }),
    run: (peer) => openSessions(peer, '/sync/snapshot-sessions', 3),
    status: 429,
    code: 'snapshot_build_capacity',
    facts: { actual: 3 },
  },
  {
    name: 'watch.maxStreamsPerScope',
    actual: 2,
    options: (limit) => ({ watch: { enabled: true, maxStreamsPerScope: limit } }),
    run: (peer) => openStreams(peer, [peer.scope, peer.scope]),
    status: 429,
    code: 'bundle_change_watch_capacity',
    facts: { actual: 2 },
  },
  {
    name: 'watch.maxStreamsPerProcess',
    actual: 2,
    options: (limit) => ({ watch: { enabled: true, maxStreamsPerProcess: limit } }),
    run: (peer) => openStreams(peer, [peer.scope, newScope()]),
    status: 429,
    code: 'bundle_change_watch_capacity',
    facts: { actual: 2 },
  },
];

async function openPeer(options: Partial<SyncServerOptions>): Promise<Peer> {
  const peer = new Peer(await target.second(options));
  await target.call('POST', '/sync/connect', { scope: peer.scope, body: {} });
  return peer;
}

test.each(limits)('[S1] $name allows what reaches it ($code)', async ({ actual, options, run }) => {
  const limit = typeof actual === 'number' ? actual : await actual(await openPeer({}));
  const allowed = await run(await openPeer(options(limit)));
  expect(allowed.status, allowed.text).toBe(200);
});

test.each(limits)('[S1] $name refuses one more, by name ($code)', async ({ name, actual, options, run, status, code, facts }) => {
  const limit = (typeof actual === 'number' ? actual : await actual(await openPeer({}))) - 1;
  const refused = await run(await openPeer(options(limit)));
  expect([refused.status, refused.json]).toMatchObject([status, { error: code, limit_exceeded: { name, limit, ...facts } }]);
  expect(refused.headers.get('retry-after')).toBe(status === 429 ? '1' : null);
});

test.each([
  ['maxRowsPerSnapshotSession', 'row_count'],
  ['maxBytesPerSnapshotSession', 'byte_count'],
] as const)('[S1] [E4] %s allows what reaches it, and one more is a conflict with the figures', async (name, dimension) => {
  const plain = await openPeer({});
  await push(plain, 5);
  const measured = await plain.call('POST', '/sync/snapshot-sessions', { scope: plain.scope });
  const limit = measured.json[dimension];
  // Another head, so that no image is there to be reused.
  const create = async (options: Partial<SyncServerOptions>) => {
    await target.query('DELETE FROM sync.snapshot_session');
    await target.query('DELETE FROM sync.snapshot_image');
    const peer = await openPeer(options);
    return peer.call('POST', '/sync/snapshot-sessions', { scope: plain.scope });
  };
  expect((await create({ [name]: limit })).status).toBe(200);
  const refused = await create({ [name]: limit - 1 });
  expect([refused.status, refused.json]).toMatchObject([
    409,
    { error: 'snapshot_session_limit_exceeded', dimension, actual: limit, limit: limit - 1 },
  ]);
});
