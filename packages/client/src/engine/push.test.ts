import { isJsonObject, parseJson } from '@oversync/protocol';
import type { JsonObject } from '@oversync/protocol';
import { describe, expect, it } from 'vitest';

import { createTestServer, openAttachedDevice } from './test-device.ts';
import type { TestDevice } from './test-device.ts';
import { json, refuse } from './test-server.ts';
import type { TestServer } from './test-server.ts';

const insertUsers = (from: number, to: number): string =>
  Array.from({ length: to - from + 1 }, (_value, index) => `INSERT INTO users(id, name) VALUES ('u${from + index}', 'n')`).join(
    ';',
  );

async function start(
  options: Parameters<typeof openAttachedDevice>[1] = {},
): Promise<{ server: TestServer; device: TestDevice }> {
  const server = createTestServer();
  return { server, device: await openAttachedDevice(server, options) };
}

const chunksOf = (server: TestServer) =>
  server.seen.filter((request) => request.operation === 'push_session_chunk').map(({ body }) => (isJsonObject(body) ? body : {}));

function outboxState(device: TestDevice): string {
  return device.list('SELECT state FROM _sync_outbox_bundle')[0] ?? '';
}

/** Rows that come back in another form have to be fetched, whatever the size of the bundle. */
const renamed = (payload: JsonObject): JsonObject => ({ ...payload, name: 'N' });

/** A body whose last byte comes once `gate` resolves. */
function endsAfter(bytes: Uint8Array, gate: Promise<undefined>): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    async start(controller) {
      controller.enqueue(bytes.subarray(0, -1));
      await gate;
      controller.enqueue(bytes.subarray(-1));
      controller.close();
    },
  });
}

const nextNumber = (device: TestDevice): string =>
  device.list(
    'SELECT next_source_bundle_id FROM _sync_source_state JOIN _sync_attachment_state ON source_id = current_source_id',
  )[0] ?? '';

describe('push', () => {
  it('[T41] [K3] sends nothing when nothing is dirty, also when a row came and went', async () => {
    const { server, device } = await start();
    device.sql("INSERT INTO users(id, name) VALUES ('x', 'x'); DELETE FROM users");
    expect(await device.client.pushPending()).toMatchObject({ outcome: 'no_change', bundles: [] });
    expect(server.count('push_session_create')).toBe(0);
    expect(await device.client.pendingSyncStatus()).toEqual({
      hasPendingSyncData: false,
      pendingRowCount: 0,
      quarantinedRowCount: 0,
      blocksDetach: false,
    });
  });

  it('[T43] sends INSERT, UPDATE and DELETE with keys, bases and payloads; a DELETE has no payload member', async () => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 2));
    await device.client.pushPending();
    device.sql(
      "UPDATE users SET name = 'new' WHERE id = 'u1'; DELETE FROM users WHERE id = 'u2'; INSERT INTO users(id, name) VALUES ('u3', 'c')",
    );
    await device.client.pushPending();
    expect(chunksOf(server)[1]?.['rows']).toEqual([
      {
        schema: 'main',
        table: 'users',
        key: { id: 'u1' },
        op: 'UPDATE',
        base_row_version: 1,
        payload: { id: 'u1', name: 'new' },
      },
      { schema: 'main', table: 'users', key: { id: 'u3' }, op: 'INSERT', base_row_version: 0, payload: { id: 'u3', name: 'c' } },
      { schema: 'main', table: 'users', key: { id: 'u2' }, op: 'DELETE', base_row_version: 1 },
    ]);
    expect(Object.keys(server.rowsOf('users'))).toEqual(['u1', 'u3']);
  });

  it('[T45] cuts 5 rows with a limit of 2 into 3 chunks', async () => {
    const { server, device } = await start({ options: { uploadLimit: 2 } });
    device.sql(insertUsers(1, 5));
    await device.client.pushPending();
    expect(
      chunksOf(server).map((chunk) => [chunk['start_row_ordinal'], Array.isArray(chunk['rows']) ? chunk['rows'].length : 0]),
    ).toEqual([
      [0, 2],
      [2, 2],
      [4, 1],
    ]);
  });

  it('[T45] keeps chunks within the bytes and the limits of the server; a single large row always fits', async () => {
    const { server, device } = await start({ options: { uploadChunkBytes: 1000 } });
    server.limits['max_rows_per_push_chunk'] = 3;
    device.sql(insertUsers(1, 5));
    device.sql(`INSERT INTO users(id, name) VALUES ('large', '${'x'.repeat(5000)}')`);
    await device.client.pushPending();
    const sizes = chunksOf(server).map((chunk) => (Array.isArray(chunk['rows']) ? chunk['rows'].length : 0));
    expect(Math.max(...sizes)).toBeLessThanOrEqual(3);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(6);
    expect(Object.keys(server.rowsOf('users'))).toHaveLength(6);
  });

  it('[T46] [T47] splits a large freeze into bundles with numbers without gaps', async () => {
    const { server, device } = await start({ options: { maxRowsPerPush: 2 } });
    device.sql(insertUsers(1, 5));
    const report = await device.client.pushPending();
    expect(report.bundles.map(({ bundleSeq, sourceBundleId, rowCount }) => [bundleSeq, sourceBundleId, rowCount])).toEqual([
      [1n, 1n, 2],
      [2n, 2n, 2],
      [3n, 3n, 1],
    ]);
    expect(server.head).toBe(3n);
    expect(nextNumber(device)).toBe('4');
  });

  it('[T46] goes on after a crash between two parts', async () => {
    const { server, device } = await start({ options: { maxRowsPerPush: 2, retryPolicy: { enabled: false } } });
    device.sql(insertUsers(1, 3));
    server.override('push_session_commit', (_request, answer) => answer());
    server.override('push_session_create', (_request, answer) => answer());
    server.override('push_session_create', () => Promise.reject(new TypeError('cut')));
    await expect(device.client.pushPending()).rejects.toMatchObject({ code: 'transport_failed' });
    const client = await device.restart();
    await client.attach('user-1');
    expect((await client.pushPending()).bundles.map(({ sourceBundleId }) => sourceBundleId)).toEqual([2n]);
    expect(Object.keys(server.rowsOf('users'))).toEqual(['u1', 'u2', 'u3']);
  });

  it('[T61] compresses bodies only when the server says that it takes them', async () => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 50));
    await device.client.pushPending();
    server.features['gzip_request_bodies'] = true;
    device.sql("UPDATE users SET name = 'again'");
    await device.client.pushPending();
    const encodings = server.seen
      .filter(({ operation }) => operation === 'push_session_chunk')
      .map(({ headers }) => headers.get('content-encoding'));
    expect(encodings).toEqual([null, 'gzip']);
    expect(server.rowsOf('users')['u50']).toEqual({ id: 'u50', name: 'again' });
  });

  it.each([
    ['push_session_create', 'planned_row_count', 7, 'protocol_violation'],
    ['push_session_create', 'next_expected_row_ordinal', 1, 'protocol_violation'],
    ['push_session_create', 'push_id', 'not-a-token', 'protocol_violation'],
    ['push_session_create', 'canonical_request_hash', 'f'.repeat(64), 'protocol_violation'],
    ['push_session_chunk', 'next_expected_row_ordinal', 9, 'protocol_violation'],
    ['push_session_chunk', 'push_id', '11111111-1111-4111-8111-111111111111', 'protocol_violation'],
    ['push_session_commit', 'source_id', 'other', 'protocol_violation'],
    ['push_session_commit', 'source_bundle_id', 9, 'protocol_violation'],
  ])('[T48] refuses %s with a wrong %s and keeps the frozen push', async (operation, member, value, code) => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 1));
    server.override(operation, async (_request, answer) => {
      const body: unknown = await (await answer()).json();
      return new Response(JSON.stringify({ ...Object(body), [member]: value }));
    });
    await expect(device.client.pushPending()).rejects.toMatchObject({ code });
    expect(outboxState(device)).toBe('prepared');
    expect(nextNumber(device)).toBe('1');
    expect((await device.client.pushPending()).outcome).toBe('committed');
    expect(server.head).toBe(1n);
  });

  it('[T48] another content under the same number is a cloned source', async () => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 1));
    server.override('push_session_create', () => refuse(400, 'push_session_invalid'));
    await expect(device.client.pushPending()).rejects.toMatchObject({ code: 'source_sequence_mismatch', recovery: 'rebuild' });
    expect(outboxState(device)).toBe('prepared');
  });

  it.each(['push_session_create', 'push_session_chunk', 'committed_rows'])(
    '[T49] repeats a transient failure of %s',
    async (operation) => {
      const { server, device } = await start();
      device.sql(insertUsers(1, 1));
      server.override(operation, () => refuse(500, 'x'));
      server.override(operation, () => Promise.reject(new TypeError('reset')));
      expect((await device.client.pushPending()).outcome).toBe('committed');
      expect(server.count(operation)).toBe(3);
    },
  );

  it('[T49] never repeats a commit: a new create tells what became of it', async () => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 1));
    server.override('push_session_commit', () => refuse(500, 'push_session_commit_failed'));
    expect((await device.client.pushPending()).bundles).toHaveLength(1);
    expect(server.operations().filter((operation) => operation.startsWith('push_session'))).toEqual([
      'push_session_create',
      'push_session_chunk',
      'push_session_commit',
      'push_session_create',
      'push_session_chunk',
      'push_session_commit',
    ]);
  });

  it('[T49] 401 twice and 403 are typed, not repeated, and keep the frozen push', async () => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 1));
    server.override('push_session_create', () => refuse(401, 'authentication_failed'), 2);
    await expect(device.client.pushPending()).rejects.toMatchObject({
      code: 'authentication_failed',
      recovery: 'reauthenticate',
    });
    expect(server.count('push_session_create')).toBe(2);
    server.override('push_session_create', () => refuse(403, 'source_forbidden'));
    await expect(device.client.pushPending()).rejects.toMatchObject({
      code: 'forbidden',
      details: { serverCode: 'source_forbidden' },
    });
    expect(outboxState(device)).toBe('prepared');
  });

  it('[T50] sends a chunk again when its reply was lost', async () => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 1));
    server.override('push_session_chunk', async (_request, answer) => {
      await answer();
      throw new TypeError('cut');
    });
    expect((await device.client.pushPending()).outcome).toBe('committed');
    expect(server.count('push_session_create')).toBe(1);
  });

  it('[T50] "out of order" for a chunk sent again begins a new session where the server would have known it again', async () => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 2));
    server.override('push_session_chunk', () => Promise.reject(new TypeError('reset')));
    server.override('push_session_chunk', () => refuse(409, 'push_chunk_out_of_order'));
    expect((await device.client.pushPending()).outcome).toBe('committed');
    expect(server.count('push_session_create')).toBe(2);
    expect(server.head).toBe(1n);
  });

  it('[T50] takes "out of order" for a chunk sent again as its arrival', async () => {
    const { server, device } = await start();
    server.features = { connect_lifecycle: true };
    device.sql(insertUsers(1, 1));
    server.override('push_session_chunk', async (_request, answer) => {
      await answer();
      throw new TypeError('cut');
    });
    server.override('push_session_chunk', () => refuse(409, 'push_chunk_out_of_order'));
    expect((await device.client.pushPending()).outcome).toBe('committed');
    expect(server.count('push_session_create')).toBe(1);
  });

  it('[T50] continues an open session after a restart where the server offers its status', async () => {
    const { server, device } = await start({ options: { uploadLimit: 2, retryPolicy: { enabled: false } } });
    device.sql(insertUsers(1, 5));
    server.override('push_session_chunk', (_request, answer) => answer());
    server.override('push_session_chunk', () => Promise.reject(new TypeError('cut')));
    await expect(device.client.pushPending()).rejects.toMatchObject({ code: 'transport_failed' });
    const client = await device.restart();
    await client.attach('user-1');
    server.seen.length = 0;
    await client.pushPending();
    expect(server.operations()).toEqual([
      'capabilities',
      'push_session_status',
      'push_session_chunk',
      'push_session_chunk',
      'push_session_commit',
      'committed_rows',
    ]);
    expect(chunksOf(server)[0]?.['start_row_ordinal']).toBe(2);
  });

  it.each([
    [
      'a lost reply',
      async (_request: unknown, answer: () => Promise<Response>) => {
        await answer();
        throw new TypeError('cut');
      },
    ],
    [
      'an unknown outcome',
      async (_request: unknown, answer: () => Promise<Response>) => {
        await answer();
        return refuse(503, 'commit_outcome_unknown', {}, { 'Retry-After': '1' });
      },
    ],
    ['a session that is gone', () => refuse(404, 'push_session_not_found')],
    ['a session that has expired', () => refuse(410, 'push_session_expired')],
  ])('[T51] [K2] creates again after %s of the commit, and commits exactly once', async (_name, answer) => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 2));
    server.override('push_session_commit', answer);
    expect((await device.client.pushPending()).bundles).toMatchObject([{ bundleSeq: 1n, sourceBundleId: 1n, rowCount: 2 }]);
    expect(server.head).toBe(1n);
    expect(server.count('push_session_create')).toBe(2);
  });

  it('[K2] a first seed push whose commit reply was lost is finished by the next call', async () => {
    const server = createTestServer();
    const { openDevice } = await import('./test-device.ts');
    const device = await openDevice(server, { before: insertUsers(1, 1), options: { retryPolicy: { enabled: false } } });
    await device.client.attach('user-1');
    server.override('push_session_commit', async (_request, answer) => {
      await answer();
      throw new TypeError('cut');
    });
    await expect(device.client.pushPending()).rejects.toMatchObject({ code: 'transport_failed' });
    server.override(
      'push_session_create',
      (request, answer) =>
        isJsonObject(request.body) && 'initialization_id' in request.body ? refuse(400, 'push_session_invalid') : answer(),
      2,
    );
    expect((await device.client.pushPending()).outcome).toBe('committed');
    expect(server.head).toBe(1n);
    expect((await device.client.syncStatus()).authority).toBe('authoritative_materialized');
  });

  it('[T52] looks for committed rows again twice, and gives up after six times', async () => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 1));
    server.override('committed_rows', () => refuse(404, 'committed_bundle_not_found'), 2);
    expect((await device.client.pushPending()).outcome).toBe('committed');
    device.sql(insertUsers(2, 2));
    server.seen.length = 0;
    server.override('committed_rows', () => refuse(404, 'committed_bundle_not_found'), 6);
    await expect(device.client.pushPending()).rejects.toMatchObject({ code: 'http_error', details: { status: 404 } });
    expect(server.count('committed_rows')).toBe(6);
    expect(outboxState(device)).toBe('committed_remote');
    await device.client.pushPending();
    expect(server.count('push_session_create')).toBe(1);
  });

  it('[T53] fetches committed rows in pages', async () => {
    const { server, device } = await start({ options: { downloadLimit: 2 } });
    server.effect = renamed;
    device.sql(insertUsers(1, 5));
    await device.client.pushPending();
    const queries = server.seen.filter(({ operation }) => operation === 'committed_rows').map(({ query }) => query);
    expect(queries).toEqual([
      { max_rows: '2' },
      { after_row_ordinal: '1', max_rows: '2' },
      { after_row_ordinal: '3', max_rows: '2' },
    ]);
    expect(device.list('SELECT count(*) FROM _sync_row_state WHERE row_version = 1')).toEqual(['5']);
    expect(device.list('SELECT count(*) FROM _oversync_bundle_stage')).toEqual(['0']);
  });

  it('[T53] asks for the page after the next while the next is read', async () => {
    const { server, device } = await start({ options: { downloadLimit: 2 } });
    server.effect = renamed;
    device.sql(insertUsers(1, 5));
    const second = Promise.withResolvers<undefined>();
    const third = Promise.withResolvers<undefined>();
    server.override('committed_rows', (_request, answer) => answer());
    server.override('committed_rows', async (_request, answer) => {
      const bytes = new Uint8Array(await (await answer()).arrayBuffer());
      second.resolve(undefined);
      return new Response(endsAfter(bytes, third.promise));
    });
    server.override('committed_rows', async (_request, answer) => {
      await second.promise;
      third.resolve(undefined);
      return answer();
    });
    expect((await device.client.pushPending()).outcome).toBe('committed');
    expect(server.count('committed_rows')).toBe(3);
  });

  it('[T53] takes no rows from the answer to a wrong guess where pages are shorter than they may be', async () => {
    const { server, device } = await start({ options: { downloadLimit: 4 } });
    server.effect = renamed;
    device.sql(insertUsers(1, 9));
    server.override('committed_rows', async (_request, answer) => {
      const body: unknown = await (await answer()).json();
      const { rows } = Object(body) as { readonly rows: readonly unknown[] };
      return Response.json({ ...Object(body), rows: rows.slice(0, 1), next_row_ordinal: 0 });
    });
    expect((await device.client.pushPending()).outcome).toBe('committed');
    const queries = server.seen
      .filter(({ operation }) => operation === 'committed_rows')
      .map(({ query }) => query['after_row_ordinal']);
    expect(queries.filter((ordinal) => ordinal !== '3')).toEqual([undefined, '0', '4']);
    expect(device.list('SELECT count(*) FROM _sync_row_state WHERE row_version = 1')).toEqual(['9']);
  });

  it('[T53] a page that cannot be taken gives up the request for the next one', async () => {
    const { server, device } = await start({ options: { downloadLimit: 2 } });
    server.effect = renamed;
    device.sql(insertUsers(1, 5));
    server.override(
      'committed_rows',
      async (_request, answer) => new Response((await (await answer()).text()).replaceAll('"name":"N"', '"name":7')),
    );
    server.override('committed_rows', () => Promise.withResolvers<Response>().promise);
    await expect(device.client.pushPending()).rejects.toMatchObject({ code: 'payload_value_invalid' });
    expect(server.count('committed_rows')).toBe(2);
    expect(outboxState(device)).toBe('committed_remote');
    expect((await device.client.pushPending()).outcome).toBe('committed');
  });

  it('[I14] an outbox that no longer gives its hash is not sent; a rebuild brings its rows back, which are pushed under a new hash', async () => {
    const { server, device } = await start({ options: { retryPolicy: { enabled: false } } });
    device.sql(insertUsers(1, 2));
    server.override('push_session_create', () => Promise.reject(new TypeError('connection reset')));
    await expect(device.client.pushPending()).rejects.toMatchObject({ recovery: 'retry' });
    device.sql('UPDATE _sync_outbox_rows SET wire_payload = replace(wire_payload, \'"n"\', \'"damaged"\') WHERE row_ordinal = 0');
    const asked = server.count('push_session_create');
    await expect(device.client.pushPending()).rejects.toMatchObject({
      code: 'outbox_corrupt',
      recovery: 'rebuild',
      details: { rule: 'request_hash' },
    });
    expect(server.count('push_session_create')).toBe(asked);
    await device.client.rebuild();
    await device.client.sync();
    expect(server.rowsOf('users')).toMatchObject({ u1: { name: 'n' }, u2: { name: 'n' } });
    expect(outboxState(device)).toBe('none');
  });

  it('[T53] [I14] committed rows without a local column are replaced by a snapshot, and edits since are pushed', async () => {
    const { server, device } = await start();
    server.effect = (row) => (row['id'] === 'u1' ? { id: 'u1', other: 'unknown column' } : row);
    device.sql(insertUsers(1, 2));
    await expect(device.client.pushPending()).rejects.toMatchObject({
      code: 'protocol_violation',
      recovery: 'retry',
      details: { reason: 'payload_column_missing' },
    });
    await expect(device.client.pushPending()).rejects.toMatchObject({
      code: 'rebuild_required',
      details: { reason: 'apply_failed' },
    });
    device.sql("UPDATE users SET name = 'edited' WHERE id = 'u2'");
    server.effect = (row) => row;
    server.addColumns('users', { name: 'served' });
    await device.client.sync();
    await device.client.sync();
    expect(device.list("SELECT id || '=' || name FROM users")).toEqual(['u1=served', 'u2=edited']);
    expect(server.rowsOf('users')).toMatchObject({ u1: { name: 'served' }, u2: { name: 'edited' } });
  });

  it.each([
    ['bundle_seq', 9],
    ['source_id', 'x'],
    ['source_bundle_id', 9],
    ['row_count', 3],
    ['next_row_ordinal', 1],
    ['has_more', true],
    ['bundle_hash', 'x'],
  ])('[T53] refuses committed rows with a wrong %s', async (member, value) => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 1));
    server.override('committed_rows', async (_request, answer) => {
      const body: unknown = await (await answer()).json();
      return new Response(JSON.stringify({ ...Object(body), [member]: value }));
    });
    await expect(device.client.pushPending()).rejects.toMatchObject({ code: 'protocol_violation' });
    expect(outboxState(device)).toBe('committed_remote');
    expect((await device.client.pushPending()).outcome).toBe('committed');
  });

  it('[I8] [T53] a wrong hash keeps the push committed and fetches again next time', async () => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 1));
    server.override(
      'committed_rows',
      async (_request, answer) => new Response((await (await answer()).text()).replace('"n"', '"m"')),
    );
    await expect(device.client.pushPending()).rejects.toMatchObject({ code: 'bundle_hash_mismatch', details: { bundleSeq: 1n } });
    expect(outboxState(device)).toBe('committed_remote');
    expect((await device.client.pushPending()).outcome).toBe('committed');
  });

  it('[I7] [T54] [K10] an edit made during the upload is sent by the next push on top of the committed version', async () => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 1));
    server.override('push_session_commit', (_request, answer) => {
      device.sql("UPDATE users SET name = 'edited'");
      return answer();
    });
    await device.client.pushPending();
    expect(device.list('SELECT name FROM users')).toEqual(['edited']);
    await device.client.pushPending();
    expect(server.rowsOf('users')['u1']).toEqual({ id: 'u1', name: 'edited' });
    expect(chunksOf(server)[1]?.['rows']).toMatchObject([{ op: 'UPDATE', base_row_version: 1 }]);
  });

  it('[T58] the checkpoint moves over an own bundle only when it is the next one', async () => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 1));
    await device.client.pushPending();
    expect(await device.client.lastBundleSeqSeen()).toBe(1n);
    server.write([{ table: 'users', id: 'peer', payload: { id: 'peer', name: 'p' } }]);
    device.sql(insertUsers(2, 2));
    await device.client.pushPending();
    expect(await device.client.lastBundleSeqSeen()).toBe(1n);
    await device.client.pullToStable();
    expect(await device.client.lastBundleSeqSeen()).toBe(3n);
    expect(device.list('SELECT id FROM users ORDER BY id')).toEqual(['peer', 'u1', 'u2']);
  });

  it.each([
    ['push_session_create', 'history_pruned'],
    ['push_session_create', 'source_sequence_out_of_order'],
    ['push_session_commit', 'source_sequence_changed'],
  ])('[T59] %s answered with %s makes the source recovery durable', async (operation, code) => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 1));
    server.override(operation, () => refuse(409, code));
    await expect(device.client.pushPending()).rejects.toMatchObject({
      code: 'source_recovery_required',
      details: { reason: code },
    });
    const client = await device.restart();
    await client.attach('user-1');
    expect(await client.sourceInfo()).toMatchObject({
      rebuildRequired: true,
      sourceRecoveryRequired: true,
      sourceRecoveryReason: code,
    });
    for (const call of [() => client.pushPending(), () => client.sync(), () => client.pullToStable()]) {
      await expect(call()).rejects.toMatchObject({ code: 'source_recovery_required', details: { reason: code } });
    }
    device.sql("UPDATE users SET name = 'still writable'");
    expect(device.list('SELECT name FROM users')).toEqual(['still writable']);
  });

  it.each(['push_session_create', 'push_session_commit'])(
    '[T59] a retired source takes the successor that the server names on %s',
    async (operation) => {
      const { server, device } = await start();
      device.sql(insertUsers(1, 1));
      const { currentSourceId } = await device.client.sourceInfo();
      server.override(operation, () =>
        refuse(409, 'source_retired', { source_id: currentSourceId, replaced_by_source_id: 'named-by-server' }),
      );
      await expect(device.client.pushPending()).rejects.toMatchObject({ code: 'source_recovery_required' });
      expect(device.list('SELECT replacement_source_id FROM _sync_operation_state')).toEqual(['named-by-server']);
    },
  );

  it('[T60] pruned committed rows ask for a rebuild that keeps the source', async () => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 1));
    server.override('committed_rows', () => refuse(409, 'history_pruned'));
    await expect(device.client.pushPending()).rejects.toMatchObject({
      code: 'rebuild_required',
      details: { reason: 'history_pruned' },
    });
    expect(outboxState(device)).toBe('committed_remote');
    expect(await device.client.rebuild()).toMatchObject({ outcome: 'applied_snapshot' });
    expect(outboxState(device)).toBe('none');
    expect(nextNumber(device)).toBe('2');
    device.sql(insertUsers(2, 2));
    expect((await device.client.pushPending()).bundles).toMatchObject([{ sourceBundleId: 2n }]);
  });

  it('deletes the session of a push that failed for good, and nobody waits for it', async () => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 1));
    server.override('push_session_commit', () => refuse(403, 'push_session_forbidden'));
    server.override('push_session_delete', () => new Promise<Response>(() => undefined));
    await expect(device.client.pushPending()).rejects.toMatchObject({ code: 'forbidden' });
    expect(server.count('push_session_delete')).toBe(1);
  });

  it('[T113] reports rows done and rows in total', async () => {
    const { device } = await start({ options: { uploadLimit: 2 } });
    device.sql(insertUsers(1, 5));
    await device.client.pushPending();
    const pushing = device.events.filter((event) => event.type === 'progress' && event.phase === 'pushing');
    expect(pushing.map((event) => (event.type === 'progress' ? [event.rowsDone, event.rowsTotal] : []))).toEqual([
      [0, 5],
      [2, 5],
      [4, 5],
      [5, 5],
    ]);
  });
});

describe('conflicts', () => {
  async function conflicting(options: Parameters<typeof openAttachedDevice>[1] = {}) {
    const { server, device } = await start(options);
    device.sql(insertUsers(1, 2));
    await device.client.sync();
    server.write([{ table: 'users', id: 'u1', payload: { id: 'u1', name: 'server' } }]);
    device.sql("UPDATE users SET name = 'mine'");
    return { server, device };
  }

  it('[T65] [T66] the server wins by default; siblings of the refused push are sent unchanged', async () => {
    const { server, device } = await conflicting();
    const report = await device.client.pushPending();
    expect(report).toMatchObject({ outcome: 'committed', conflicts: [{ table: 'users', resolution: 'acceptServer' }] });
    expect(device.list('SELECT name FROM users ORDER BY id')).toEqual(['server', 'mine']);
    expect(server.rowsOf('users')).toMatchObject({ u1: { name: 'server' }, u2: { name: 'mine' } });
    expect(nextNumber(device)).toBe('3');
  });

  it('[T65] keepLocal sends the local row on top of the server version', async () => {
    const { server, device } = await conflicting({ options: { resolver: () => ({ kind: 'keepLocal' }) } });
    await device.client.pushPending();
    expect(server.rowsOf('users')).toMatchObject({ u1: { name: 'mine' }, u2: { name: 'mine' } });
  });

  it('[T70] [K27] fifty conflicts cost one extra round trip when the server lists them', async () => {
    const { server, device } = await start({ options: { resolver: () => ({ kind: 'keepLocal' }) } });
    device.sql(insertUsers(1, 50));
    await device.client.sync();
    server.write(
      Array.from({ length: 50 }, (_value, index) => ({
        table: 'users',
        id: `u${index + 1}`,
        payload: { id: `u${index + 1}`, name: 's' },
      })),
    );
    device.sql("UPDATE users SET name = 'mine'");
    server.seen.length = 0;
    await device.client.pushPending();
    expect(server.count('push_session_commit')).toBe(2);
  });

  it('[T67] the third conflict of one key ends the call with everything dirty', async () => {
    const { server, device } = await conflicting({ options: { resolver: () => ({ kind: 'keepLocal' }) } });
    server.override(
      'push_session_commit',
      (_request, answer) => {
        server.write([{ table: 'users', id: 'u1', payload: { id: 'u1', name: `again ${server.head}` } }]);
        return answer();
      },
      5,
    );
    await expect(device.client.pushPending()).rejects.toMatchObject({
      code: 'conflict_retry_exhausted',
      details: { retryCount: 2, remainingDirtyCount: 2 },
    });
    expect(server.count('push_session_commit')).toBe(4);
    expect(outboxState(device)).toBe('none');
    expect(nextNumber(device)).toBe('2');
  });

  it.each<[string, (conflict: JsonObject) => JsonObject]>([
    ['without an object', () => ({})],
    [
      'with the hidden column',
      (conflict) => ({ conflict: { ...conflict, server_row: { id: 'u1', name: 's', _sync_scope_id: 'x' } } }),
    ],
    ['for a table that is not managed', (conflict) => ({ conflict: { ...conflict, table: 'other' } })],
    ['with another key column', (conflict) => ({ conflict: { ...conflict, key: { uid: 'u1' } } })],
  ])('[T68] a conflict %s is a protocol violation and keeps the frozen push', async (_name, body) => {
    const { server, device } = await conflicting();
    server.override('push_session_commit', async (_request, answer) => {
      const given = parseJson(await (await answer()).text(), { depthMax: 20 });
      const conflict = isJsonObject(given) && isJsonObject(given['conflict']) ? given['conflict'] : {};
      return refuse(409, 'push_conflict', body(conflict));
    });
    await expect(device.client.pushPending()).rejects.toMatchObject({ code: 'protocol_violation' });
    expect(outboxState(device)).toBe('prepared');
  });
});

describe('rows the server refuses', () => {
  const violationOf = (id: string, kind = 'check') =>
    refuse(400, 'push_commit_invalid', {
      violation: { kind, schema: 'main', table: 'users', constraint: 'c', row_ordinal: 0, key: { id } },
    });
  const refuseWhile = (server: TestServer, isBad: () => boolean, bad: () => Response) => {
    server.override('push_session_commit', (_request, answer) => (isBad() ? bad() : answer()), 100);
  };

  it('[T71] [K24] a named row is set aside and all others are committed by the same call', async () => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 20));
    let refusals = 0;
    refuseWhile(
      server,
      () => (refusals += 1) === 1,
      () => violationOf('u7'),
    );
    const report = await device.client.pushPending();
    expect(report).toMatchObject({
      outcome: 'committed',
      quarantined: [{ table: 'users', key: 'u7', code: 'check', origin: 'push' }],
    });
    expect(Object.keys(server.rowsOf('users'))).toHaveLength(19);
    expect(await device.client.pendingSyncStatus()).toMatchObject({
      pendingRowCount: 0,
      quarantinedRowCount: 1,
      blocksDetach: true,
    });
    expect((await device.client.sync()).push.outcome).toBe('no_change');
    expect(device.events).toContainEqual({ type: 'quarantined', operation: 'pushPending', count: 1 });
  });

  it('[T71] a row that is not named is found by pushing halves', async () => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 12));
    const hasBadRow = () => chunksOf(server).at(-1)?.['rows'];
    refuseWhile(
      server,
      () => JSON.stringify(hasBadRow()).includes('"u9"'),
      () => refuse(400, 'push_commit_invalid'),
    );
    const report = await device.client.pushPending();
    expect(report.quarantined).toMatchObject([{ key: 'u9', code: 'server_rejected' }]);
    expect(Object.keys(server.rowsOf('users'))).toHaveLength(11);
  });

  it('[T71] a row above a limit of the server is set aside as too large', async () => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 2));
    server.override(
      'push_session_chunk',
      (request, answer) => (JSON.stringify(request.body).includes('"u2"') ? refuse(413, 'request_too_large') : answer()),
      100,
    );
    expect((await device.client.pushPending()).quarantined).toMatchObject([{ key: 'u2', code: 'row_too_large' }]);
    expect(Object.keys(server.rowsOf('users'))).toEqual(['u1']);
  });

  it('[T71] content that gives a 500 in three calls in a row is searched for the row at fault', async () => {
    const { server, device } = await start({ options: { retryPolicy: { enabled: false } } });
    device.sql(insertUsers(1, 8));
    const isBad = () => JSON.stringify(chunksOf(server).at(-1)?.['rows']).includes('"u5"');
    refuseWhile(server, isBad, () => refuse(500, 'push_session_commit_failed'));
    for (let call = 1; call <= 2; call += 1) {
      await expect(device.client.pushPending()).rejects.toMatchObject({ code: 'http_error', details: { status: 500 } });
      expect(outboxState(device)).toBe('prepared');
    }
    expect((await device.client.pushPending()).quarantined).toMatchObject([{ key: 'u5', code: 'server_rejected' }]);
    expect(Object.keys(server.rowsOf('users'))).toHaveLength(7);
  });

  it('[T71] a success in between starts the count again', async () => {
    const { server, device } = await start({ options: { retryPolicy: { enabled: false } } });
    device.sql(insertUsers(1, 1));
    for (const isFailing of [true, true, false, true, true]) {
      if (isFailing) server.override('push_session_create', () => refuse(500, 'x'));
      await device.client.pushPending().catch(() => undefined);
      if (!isFailing) device.sql("UPDATE users SET name = 'again'");
    }
    expect(await device.client.pendingSyncStatus()).toMatchObject({ quarantinedRowCount: 0, pendingRowCount: 1 });
  });

  it('[T71] a call sets aside at most so many rows', async () => {
    const { server, device } = await start({ options: { quarantineLimit: 2 } });
    device.sql(insertUsers(1, 5));
    let at = 0;
    refuseWhile(
      server,
      () => true,
      () => violationOf(`u${(at += 1)}`),
    );
    await expect(device.client.pushPending()).rejects.toMatchObject({ code: 'quarantine_limit_reached', recovery: 'resolve' });
    expect(outboxState(device)).toBe('none');
    expect(await device.client.pendingSyncStatus()).toMatchObject({ pendingRowCount: 3, quarantinedRowCount: 2 });
  });

  it('[T73] a unique violation is tried once with the deletes first', async () => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 1));
    await device.client.pushPending();
    device.sql("DELETE FROM users; INSERT INTO users(id, name) VALUES ('u2', 'n')");
    const ops = () => JSON.stringify(chunksOf(server).at(-1)?.['rows']);
    refuseWhile(
      server,
      () => ops().indexOf('INSERT') < ops().indexOf('DELETE'),
      () => violationOf('u2', 'unique'),
    );
    expect(await device.client.pushPending()).toMatchObject({ outcome: 'committed', quarantined: [] });
    expect(Object.keys(server.rowsOf('users'))).toEqual(['u2']);
  });

  it('[T74] rows set aside block a detach and survive a restart', async () => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 1));
    refuseWhile(
      server,
      () => true,
      () => violationOf('u1'),
    );
    await device.client.pushPending();
    const client = await device.restart();
    expect(await client.detach()).toEqual({ outcome: 'blocked_unsynced_data', pendingRowCount: 0, quarantinedRowCount: 1 });
  });
});

describe('the server forgets the scope', () => {
  async function forgotten(onScopeLost: 'fail' | 'reseed') {
    const { server, device } = await start({ options: { onScopeLost } });
    device.sql(insertUsers(1, 2));
    await device.client.sync();
    const empty = createTestServer();
    const client = await device.restart({ ports: { http: empty.fetch } });
    await client.attach('user-1');
    device.sql("UPDATE users SET name = 'edited' WHERE id = 'u1'");
    return { server, empty, device, client };
  }

  it('[T110] [K25] fails with scope_lost by default', async () => {
    const { empty, client } = await forgotten('fail');
    await expect(client.sync()).rejects.toMatchObject({ code: 'scope_lost', recovery: 'resolve' });
    expect(empty.head).toBe(0n);
  });

  it('[T110] fills the scope again on request', async () => {
    const { empty, client } = await forgotten('reseed');
    await client.sync();
    expect(empty.rowsOf('users')).toEqual({ u1: { id: 'u1', name: 'edited' }, u2: { id: 'u2', name: 'n' } });
  });

  it('[T110] asks again under the same source when the answer with the lease was lost', async () => {
    const { empty, device, client } = await forgotten('reseed');
    empty.override('connect', async (_request, answer) => {
      await answer();
      throw new TypeError('cut');
    });
    const once = await device.restart({ onScopeLost: 'reseed', ports: { http: empty.fetch }, retryPolicy: { enabled: false } });
    expect(once).not.toBe(client);
    await once.attach('user-1');
    await expect(once.sync()).rejects.toMatchObject({ code: 'transport_failed' });
    await once.sync();
    const asked = empty.seen.filter(({ operation }) => operation === 'connect').map(({ sourceId }) => sourceId);
    expect(asked).toHaveLength(2);
    expect(new Set(asked).size).toBe(1);
    expect(Object.keys(empty.rowsOf('users'))).toEqual(['u1', 'u2']);
  });

  it('[T110] repeats the operation when somebody else has filled it, and waits while somebody does', async () => {
    const { empty, client } = await forgotten('fail');
    empty.lease = { id: crypto.randomUUID(), sourceId: 'other' };
    await expect(client.pullToStable()).rejects.toMatchObject({ code: 'scope_initializing', recovery: 'retry' });
    empty.override('pull', () => refuse(409, 'scope_uninitialized'));
    await expect(client.pullToStable()).rejects.toMatchObject({ code: 'scope_initializing', retryAfterMs: 7000 });
    empty.isInitialized = true;
    empty.override('pull', () => refuse(409, 'scope_uninitialized'));
    empty.override('pull', () => json(200, { stable_bundle_seq: 1, bundles: [], has_more: false }));
    expect((await client.pullToStable()).outcome).toBe('already_at_target');
  });
});
