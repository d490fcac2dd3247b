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

/**
 * Fills both tables of a new scope: `notes` with text keys, `spots` with uuid keys from all over their range, the last one included.
 * `bodyBytes` is an SQL expression over the number `n` of a row.
 */
async function fillScope(notes: number, spots: number, bodyBytes = '10'): Promise<string> {
  const scope = newScope();
  await target.call('POST', '/sync/connect', { scope, body: {} });
  await target.server.scopes.execWrite(scope, { writerId: 'filler' }, async (tx) => {
    await tx.query(
      `INSERT INTO business.notes (id, title, amount)
       SELECT CASE n % 3 WHEN 0 THEN 'Z' WHEN 1 THEN 'é' ELSE '😀' END || n, 'title ' || repeat('y', ${bodyBytes}), n
       FROM generate_series(1, $1::int8) n`,
      [String(notes)],
    );
    await tx.query(
      `INSERT INTO business.spots (id, body) SELECT CASE n WHEN 1 THEN repeat('f', 32) WHEN 2 THEN repeat('0', 32) ELSE md5(n::text) END::uuid,
       CASE WHEN n % 5 > 0 THEN repeat('x', ${bodyBytes}) END FROM generate_series(1, $1::int8) n`,
      [String(spots)],
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

/** Payloads of all rows of the scope as the tables hold them, by table and key bytes. */
async function readTables(scope: string): Promise<{ readonly id: string }[]> {
  const notes = await target.query('SELECT id, title, amount::text FROM business.notes WHERE _sync_scope_id = $1', [scope]);
  const spots = await target.query('SELECT id::text, body FROM business.spots WHERE _sync_scope_id = $1', [scope]);
  const byBytes = (left: { id: string }, right: { id: string }) => Buffer.compare(Buffer.from(left.id), Buffer.from(right.id));
  return [
    ...notes.rows.map(([id, title, amount]) => ({ id: String(id), title, amount })).toSorted(byBytes),
    ...spots.rows.map(([id, body]) => ({ id: String(id), body })).toSorted(byBytes),
  ];
}

test('an image holds every row of all tables once, by table and key bytes, over many batches', async () => {
  await fillScope(30, 30);
  const scope = await fillScope(1203, 1501);
  const { rows, rowCount } = await readImage(scope);
  expect([rows.length, rowCount]).toStrictEqual([2704, 2704]);
  const expected = await readTables(scope);
  expect(rows.map((row) => row.payload)).toStrictEqual(expected);
  expect(rows.map((row) => row.key.id)).toStrictEqual(expected.map((row) => row.id));
  expect(new Set(rows.map((row) => row.row_version))).toStrictEqual(new Set([1]));
});

test.each([
  ['few bytes', 'n::int4 % 7'],
  ['about as many bytes as fill a block with a batch', '1990 + n::int4 % 90'],
  ['bytes for several blocks a batch, here and there', 'n::int4 % 11 * 700'],
  ['few bytes but for one that no block with others can hold', 'CASE n WHEN 702 THEN 1200000 ELSE 3 END'],
  ['few bytes but for one too long to be kept before the rest is known', 'CASE n WHEN 702 THEN 65600 ELSE 3 END'],
])('[I12] blocks made whole and blocks cut by size hold the same rows: rows of %s', async (_, bodyBytes) => {
  const scope = await fillScope(604, 1103, bodyBytes);
  const { rows, rowCount } = await readImage(scope);
  const expected = await readTables(scope);
  expect(rowCount).toBe(expected.length);
  expect(rows.map((row) => row.payload)).toStrictEqual(expected);
  const { rows: blocks } = await target.query(
    `SELECT first_row_ordinal, row_count, octet_length(row_texts), (SELECT max(l) FROM unnest(row_lengths) l), cardinality(row_lengths)
     FROM sync.snapshot_block JOIN sync.scope USING (scope_pk) WHERE scope_id = $1 ORDER BY first_row_ordinal`,
    [scope],
  );
  let ordinal = 0;
  for (const block of blocks) {
    const [first, count, bytes, largest, lengths] = block.map(Number);
    expect([first, lengths]).toStrictEqual([ordinal, count]);
    expect(count).toBeLessThanOrEqual(500);
    expect(bytes).toBeLessThan(MIB + Number(largest) + 500);
    ordinal += Number(count);
  }
  expect(ordinal).toBe(rowCount);
});

test('[I12] every row of an image has the version of its last change, in both kinds of keys', async () => {
  const scope = await fillScope(1203, 1501);
  const changes = [
    `UPDATE business.notes SET amount = amount + 1 WHERE _sync_scope_id = $1 AND amount % 3 = 0`,
    `UPDATE business.spots SET body = 'changed' WHERE _sync_scope_id = $1 AND id::text LIKE '%7'`,
    `UPDATE business.spots SET body = 'again' WHERE _sync_scope_id = $1 AND id::text LIKE '7%'`,
  ];
  for (const change of changes)
    await target.server.scopes.execWrite(scope, { writerId: 'filler' }, (tx) => tx.query(change, [scope]));
  const versions = await target.query(
    `SELECT CASE length(key_bytes) WHEN 16 THEN encode(key_bytes, 'hex')::uuid::text ELSE convert_from(key_bytes, 'UTF8') END, version
     FROM sync.row_state JOIN sync.scope USING (scope_pk) WHERE scope_id = $1`,
    [scope],
  );
  const versionOf = new Map(versions.rows.map(([id, version]) => [id, Number(version)]));
  const { rows } = await readImage(scope);
  expect(rows).toHaveLength(versionOf.size);
  expect(new Set(versionOf.values())).toStrictEqual(new Set([1, 2, 3, 4]));
  for (const row of rows) expect([row.key.id, row.row_version]).toStrictEqual([row.key.id, versionOf.get(row.key.id)]);
});

test('wide rows make blocks that end near the byte limit, and deleted rows are not part of an image', async () => {
  const scope = await fillScope(0, 700, '9000');
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

test('[I12] rows of a table without a single key are noticed', async () => {
  for (const keyBytes of ['= 16', '<> 16']) {
    const scope = await fillScope(3, 3);
    await target.query(
      `DELETE FROM sync.row_state USING sync.scope s WHERE s.scope_pk = row_state.scope_pk AND s.scope_id = $1 AND length(key_bytes) ${keyBytes}`,
      [scope],
    );
    const answer = await target.call('POST', '/sync/snapshot-sessions', { scope });
    expect([answer.status, answer.json.error]).toStrictEqual([500, 'snapshot_session_create_failed']);
    expect(target.events).toContainEqual(expect.objectContaining({ name: 'integrityMismatch', scopeId: scope }));
  }
});

test.each([0, 499, 500, 501, 799])(
  '[I12] a row without a key is noticed beside the edges of a batch: row %d of 800',
  async (offset) => {
    const scope = await fillScope(0, 800);
    await target.query(
      `DELETE FROM sync.row_state WHERE (scope_pk, key_bytes) = (
       SELECT scope_pk, key_bytes FROM sync.row_state JOIN sync.scope USING (scope_pk) WHERE scope_id = $1 ORDER BY key_bytes OFFSET ${String(offset)} LIMIT 1)`,
      [scope],
    );
    const answer = await target.call('POST', '/sync/snapshot-sessions', { scope });
    expect([answer.status, answer.json.error]).toStrictEqual([500, 'snapshot_session_create_failed']);
  },
);

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
  const cases = [[forget('f')], [forget('0')], [invent], [forget('f'), invent], [forget('f'), forget('0'), invent]];
  for (const [rows, bodyBytes, damages] of cases.flatMap((each) => [
    [3, '10', each] as const,
    [300, '9000', each] as const,
    [800, '10', each] as const,
  ])) {
    const scope = await fillScope(0, rows, bodyBytes);
    for (const damage of damages) await damage(scope);
    const answer = await target.call('POST', '/sync/snapshot-sessions', { scope });
    expect([answer.status, answer.json.error]).toStrictEqual([500, 'snapshot_session_create_failed']);
  }
});
