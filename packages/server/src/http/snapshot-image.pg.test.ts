import { afterAll, beforeAll, expect, test } from 'vitest';

import { manyNotes, NOTES_DDL, NOTES_TABLE, newScope, openTestServer, pushNotes } from '../test-server.ts';
import type { TestServer } from '../test-server.ts';

const DDL = `${NOTES_DDL}
CREATE TABLE business.spots (_sync_scope_id text NOT NULL, id uuid NOT NULL, body text, PRIMARY KEY (_sync_scope_id, id));`;

const MIB = 1024 * 1024;

let target: TestServer;
beforeAll(async () => {
  target = await openTestServer({
    ddl: DDL,
    registeredTables: [NOTES_TABLE, { schema: 'business', table: 'spots', syncKeyColumn: 'id' }],
  });
});
afterAll(() => target.close());

/** Fills both tables of a new scope: `notes` with text keys, `spots` with uuid keys from all over their range, the last one included. */
async function fillScope(notes: number, spots: number, bodyBytes = 10): Promise<string> {
  const scope = newScope();
  await target.call('POST', '/sync/connect', { scope, body: {} });
  await target.server.scopes.execWrite(scope, { writerId: 'filler' }, async (tx) => {
    await tx.query(
      `INSERT INTO business.notes (id, title, amount) SELECT CASE n % 3 WHEN 0 THEN 'Z' WHEN 1 THEN 'é' ELSE '😀' END || n, 'title ' || n, n
       FROM generate_series(1, $1::int8) n`,
      [String(notes)],
    );
    await tx.query(
      `INSERT INTO business.spots (id, body) SELECT CASE n WHEN 1 THEN repeat('f', 32) WHEN 2 THEN repeat('0', 32) ELSE md5(n::text) END::uuid,
       CASE WHEN n % 5 > 0 THEN repeat('x', $2::int4) END FROM generate_series(1, $1::int8) n`,
      [String(spots), String(bodyBytes)],
    );
  });
  return scope;
}

interface SnapshotRow {
  readonly table: string;
  readonly key: { readonly id: string };
  readonly row_version: number;
  readonly payload: object;
}

async function readImage(scope: string): Promise<{ readonly rows: SnapshotRow[]; readonly rowCount: number }> {
  const session = await target.call('POST', '/sync/snapshot-sessions', { scope });
  expect(session.status).toBe(200);
  const rows: SnapshotRow[] = [];
  for (let hasMore = true; hasMore;) {
    const query = `after_row_ordinal=${String(rows.length)}&max_rows=777`;
    const page = await target.call('GET', `/sync/snapshot-sessions/${session.json.snapshot_id}?${query}`, { scope });
    expect(page.status).toBe(200);
    rows.push(...(page.json.rows as unknown as SnapshotRow[]));
    hasMore = page.json.has_more;
  }
  return { rows, rowCount: session.json.row_count };
}

test('an image holds every row of all tables once, by table and key bytes, over many batches', async () => {
  await fillScope(30, 30);
  const scope = await fillScope(1203, 1501);
  const { rows, rowCount } = await readImage(scope);
  expect([rows.length, rowCount]).toStrictEqual([2704, 2704]);
  const notes = await target.query('SELECT id, title, amount::text FROM business.notes WHERE _sync_scope_id = $1', [scope]);
  const spots = await target.query('SELECT id::text, body FROM business.spots WHERE _sync_scope_id = $1', [scope]);
  const byBytes = (left: { id: string }, right: { id: string }) => Buffer.compare(Buffer.from(left.id), Buffer.from(right.id));
  const expected = [
    ...notes.rows.map(([id, title, amount]) => ({ id: String(id), title, amount })).toSorted(byBytes),
    ...spots.rows.map(([id, body]) => ({ id: String(id), body })).toSorted(byBytes),
  ];
  expect(rows.map((row) => row.payload)).toStrictEqual(expected);
  expect(rows.map((row) => row.key.id)).toStrictEqual(expected.map((row) => row.id));
  expect(new Set(rows.map((row) => row.row_version))).toStrictEqual(new Set([1]));
});

test('wide rows make blocks that end near the byte limit, and deleted rows are not part of an image', async () => {
  const scope = await fillScope(0, 700, 9000);
  await target.server.scopes.execWrite(scope, { writerId: 'filler' }, (tx) =>
    tx.query(`DELETE FROM business.spots WHERE _sync_scope_id = $1 AND (id::text LIKE '3%' OR id::text LIKE 'f%')`, [scope]),
  );
  const kept = Number(
    (await target.query('SELECT count(*) FROM business.spots WHERE _sync_scope_id = $1', [scope])).rows[0]?.[0],
  );
  const { rows } = await readImage(scope);
  expect(rows).toHaveLength(kept);
  const blocks = await target.query(
    `SELECT octet_length(row_texts) FROM sync.snapshot_block JOIN sync.scope USING (scope_pk) WHERE scope_id = $1`,
    [scope],
  );
  const sizes = blocks.rows.map(([bytes]) => Number(bytes));
  expect(sizes.length).toBeGreaterThan(4);
  expect(Math.max(...sizes)).toBeLessThan(MIB + 2 * 9300);
});

test('[I12] a key without a row and a row without a key are both noticed, also when their numbers are equal', async () => {
  const forgetKey = (scope: string) =>
    target.query(
      `DELETE FROM sync.row_state WHERE key_bytes = $2::bytea AND scope_pk = (SELECT scope_pk FROM sync.scope WHERE scope_id = $1)`,
      [scope, Buffer.from('n-000001')],
    );
  const inventKey = (scope: string) =>
    target.query(
      `INSERT INTO sync.row_state (scope_pk, table_id, key_bytes, version, deleted)
       SELECT scope_pk, table_id, $2::bytea, version, false FROM sync.row_state JOIN sync.scope USING (scope_pk) WHERE scope_id = $1 LIMIT 1`,
      [scope, Buffer.from('nobody')],
    );
  for (const damages of [[forgetKey], [inventKey], [forgetKey, inventKey]]) {
    const scope = newScope();
    await target.call('POST', '/sync/connect', { scope, body: {} });
    await pushNotes(target, 1, manyNotes(3), { scope });
    for (const damage of damages) await damage(scope);
    const answer = await target.call('POST', '/sync/snapshot-sessions', { scope });
    expect([answer.status, answer.json.error]).toStrictEqual([500, 'snapshot_session_create_failed']);
    const blocks = await target.query(
      'SELECT count(*) FROM sync.snapshot_block JOIN sync.scope USING (scope_pk) WHERE scope_id = $1',
      [scope],
    );
    expect(blocks.rows[0]?.[0]).toBe('0');
  }
});

test('[I12] uuid keys, which are read as ranges, show the same damage, at both ends of the range too', async () => {
  const inScope = 'scope_pk = (SELECT scope_pk FROM sync.scope WHERE scope_id = $1)';
  const forget = (digit: string) => (scope: string) =>
    target.query(`DELETE FROM sync.row_state WHERE ${inScope} AND key_bytes = decode(repeat($2, 32), 'hex')`, [scope, digit]);
  const invent = (scope: string) =>
    target.query(
      `INSERT INTO sync.row_state (scope_pk, table_id, key_bytes, version, deleted)
       SELECT scope_pk, table_id, decode(repeat('a', 32), 'hex'), version, false FROM sync.row_state WHERE ${inScope} LIMIT 1`,
      [scope],
    );
  for (const damages of [[forget('f')], [forget('0')], [invent], [forget('f'), invent]]) {
    const scope = await fillScope(0, 3);
    for (const damage of damages) await damage(scope);
    const answer = await target.call('POST', '/sync/snapshot-sessions', { scope });
    expect([answer.status, answer.json.error]).toStrictEqual([500, 'snapshot_session_create_failed']);
  }
});
