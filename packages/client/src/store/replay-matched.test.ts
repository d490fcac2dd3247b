import { array, assert, asyncProperty, boolean, constant, constantFrom, oneof, record } from 'fast-check';
import type { Arbitrary } from 'fast-check';
import { RowHasher, committedRowText, createSha256 } from '@oversync/protocol';
import { describe, expect, test } from 'vitest';

import { MATCHED_RUNS_MAX } from '../limits.ts';
import { checkIncomingRows } from '../rules/check-incoming.ts';
import type { IncomingRow } from '../rules/incoming-row.ts';
import { ProofMemory } from '../rules/proof-memory.ts';
import { applyBundles } from './apply-bundles.ts';
import { stageRowsAt } from './bundle-stage.ts';
import { CandidateHasher } from './committed-candidate.ts';
import { freezeOutbox } from './freeze.ts';
import { FrozenMatch } from './frozen-match.ts';
import { rowOp, storeCommittedRemote } from './outbox.ts';
import { replayCommittedBundle } from './replay.ts';
import type { ReplayResult } from './store-types.ts';
import { optionalTextColumn, textColumn } from './columns.ts';
import { APPLY, FREEZE, openAttached, query, serverRow } from './test-local.ts';
import type { Local } from './test-local.ts';

const DDL = `CREATE TABLE items (id TEXT PRIMARY KEY NOT NULL, name TEXT, n INTEGER, r REAL, b BLOB, loose DECIMAL);
  CREATE TABLE notes (id BLOB PRIMARY KEY NOT NULL, doc TEXT)`;
const KEYS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];

interface Values {
  readonly name: string | null;
  readonly n: string | null;
  readonly r: string | null;
  readonly b: string | null;
  readonly loose: string | null;
}

type Edit = { readonly id: string } & ({ readonly op: 'put'; readonly values: Values } | { readonly op: 'delete' });

/** What the server does with a pushed row: commits it as it is, changes it, or gives it another version. */
type Fate = 'same' | 'renamed' | 'newer';

interface History {
  readonly before: readonly Edit[];
  readonly pushed: readonly Edit[];
  readonly meanwhile: readonly Edit[];
  readonly fates: readonly Fate[];
  readonly added: boolean;
}

const literal = (value: string | null): string => (value === null ? 'NULL' : `'${value.replaceAll("'", "''")}'`);

const values: Arbitrary<Values> = record({
  name: constantFrom('x', 'y', `it's "quoted"`, 'line\nbreak', null),
  n: constantFrom('1', '-7', '9223372036854775807', null),
  r: constantFrom('0.1', '-180.0', '1e300', '-0.0', '5', null),
  b: constantFrom(`x'00ff'`, `x''`, null),
  loose: constantFrom(`'12.50'`, `'text'`, '7', '1.5', null),
});
const edit: Arbitrary<Edit> = oneof(
  { weight: 3, arbitrary: record({ id: constantFrom(...KEYS), op: constant('put' as const), values }) },
  { weight: 1, arbitrary: record({ id: constantFrom(...KEYS), op: constant('delete' as const) }) },
);
const history: Arbitrary<History> = record({
  before: array(edit, { maxLength: 6 }),
  pushed: array(edit, { minLength: 1, maxLength: 10 }),
  meanwhile: oneof(constant([]), array(edit, { maxLength: 3 })),
  fates: array(constantFrom<Fate>('same', 'same', 'same', 'renamed', 'newer'), { minLength: 10, maxLength: 10 }),
  added: boolean(),
});

function write(local: Local, edits: readonly Edit[]): void {
  for (const change of edits) {
    if (change.op === 'delete') {
      local.driver.database.exec(`DELETE FROM items WHERE id = '${change.id}'`);
      continue;
    }
    const { name, n, r, b, loose } = change.values;
    local.driver.database.exec(
      `INSERT INTO items VALUES ('${change.id}', ${literal(name)}, ${n ?? 'NULL'}, ${r ?? 'NULL'}, ${b ?? 'NULL'}, ${loose ?? 'NULL'})
       ON CONFLICT (id) DO UPDATE SET name = excluded.name, n = excluded.n, r = excluded.r, b = excluded.b, loose = excluded.loose`,
    );
  }
}

/** The frozen rows as the server commits them. */
async function committedRows(
  local: Local,
  fates: readonly Fate[],
  seq: bigint,
): Promise<{ row: IncomingRow; wireKey: string }[]> {
  const frozen = await local.driver.all(
    `SELECT table_name, wire_key_json, wire_key_json->>'$.id', op, wire_payload FROM _sync_outbox_rows ORDER BY row_ordinal`,
  );
  return frozen.map((entry, index) => {
    const payload = optionalTextColumn(entry, 4);
    const fate = fates[index] ?? 'same';
    const isRenamed = fate === 'renamed' && payload !== null;
    const row: IncomingRow = {
      schema: 'main',
      table: textColumn(entry, 0),
      keyColumn: 'id',
      keyValue: textColumn(entry, 2),
      op: rowOp(textColumn(entry, 3)),
      rowVersion: fate === 'newer' ? seq + 1n : seq,
      payload: isRenamed ? payload.replace(/"name":(?:null|"(?:[^"\\]|\\.)*")/, '"name":"server"') : payload,
    };
    return { row, wireKey: textColumn(entry, 1) };
  });
}

interface Replayed {
  readonly result: ReplayResult;
  readonly state: unknown;
  readonly matchedCount: number;
}

async function replayHistory(past: History, matches: boolean): Promise<Replayed | null> {
  const local = await openAttached(DDL);
  write(local, past.before);
  const first = await pushOnce(local, past.before, [], [], false, 1n, false);
  const result = await pushOnce(
    local,
    past.pushed,
    past.meanwhile,
    past.fates,
    past.added,
    first === null ? 1n : 2n,
    matches,
    true,
  );
  if (result === null) return null;
  const tables = {
    items: query(
      local,
      `SELECT id, name, CAST(n AS TEXT), typeof(n), printf('%!.20g', r), typeof(r), hex(b), typeof(b), CAST(loose AS TEXT), typeof(loose)
       FROM items ORDER BY id`,
    ),
    state: query(local, 'SELECT table_name, key_json, row_version, deleted FROM _sync_row_state ORDER BY key_json'),
    dirty: query(
      local,
      'SELECT table_name, key_json, op, base_row_version, payload, row_number() OVER (ORDER BY dirty_ordinal) FROM _sync_dirty_rows ORDER BY key_json',
    ),
    bases: query(local, 'SELECT * FROM _oversync_row_bases ORDER BY key_json'),
    outcomes: query(
      local,
      'SELECT table_name, key_json, op, outcome, bundle_seq, row_version FROM _oversync_outcomes ORDER BY key_json, bundle_seq',
    ),
    outbox: query(local, 'SELECT count(*) FROM _sync_outbox_rows'),
    stage: query(local, 'SELECT count(*) FROM _oversync_bundle_stage'),
    apply: query(local, 'SELECT apply_mode FROM _sync_apply_state'),
  };
  return { result: result.result, state: tables, matchedCount: result.matchedCount };
}

async function pushOnce(
  local: Local,
  edits: readonly Edit[],
  meanwhile: readonly Edit[],
  fates: readonly Fate[],
  added: boolean,
  seq: bigint,
  matches: boolean,
  writes = false,
): Promise<{ result: ReplayResult; matchedCount: number } | null> {
  if (writes) write(local, edits);
  const { outbox } = await freezeOutbox(local.driver, local.schema, FREEZE);
  if (outbox.state !== 'prepared') return null;
  write(local, meanwhile);
  const committed = await storeCommittedRemote(local.driver, outbox, { bundleSeq: seq, bundleHash: 'h' });
  const rows = await committedRows(local, fates, seq);
  const extra = { name: 'added', n: '1', r: null, b: null, loose: null };
  if (added) rows.push({ row: serverRow('items', 'z', seq, { ...extra }, 'INSERT'), wireKey: '{"id":"z"}' });
  const match = new FrozenMatch(local.schema);
  let others = rows.map((_, index) => index);
  if (matches) {
    await match.load(local.driver, outbox.sourceBundleId, 0, rows.length);
    others = match.unmatched(
      0,
      rows.map(({ row, wireKey }) => ({ ...row, wireKey })),
    );
  }
  const checked = checkIncomingRows(
    local.schema,
    rows.map(({ row }) => row),
  );
  const staged = others.flatMap((index) => {
    const row = checked[index];
    return row === undefined ? [] : [{ ordinal: index, row }];
  });
  await local.driver.transaction('immediate', (tx) => stageRowsAt(tx, seq, staged));
  const result = await replayCommittedBundle(local.driver, local.schema, {
    ...APPLY,
    outbox: committed,
    bundle: { staged: true },
    matched: match.runs,
  });
  return { result, matchedCount: rows.length - others.length };
}

describe('rows that came back as they were sent', () => {
  test('[T54] [T55] [T56] [K21] leaving them in the outbox gives what staging all of them gives', async () => {
    let matchedCount = 0;
    await assert(
      asyncProperty(history, async (past) => {
        const slow = await replayHistory(past, false);
        const fast = await replayHistory(past, true);
        expect(fast?.state).toEqual(slow?.state);
        expect(fast?.result).toEqual(slow?.result);
        matchedCount += fast?.matchedCount ?? 0;
      }),
      { numRuns: 150 },
    );
    expect(matchedCount).toBeGreaterThan(100);
  });

  test('[I8] [T53] the hash of the outbox is that of the bundle exactly where every row was committed as it was sent', async () => {
    const counts = { proved: 0, refuted: 0 };
    await assert(
      asyncProperty(history, async (past) => {
        const local = await openAttached(DDL);
        write(local, past.pushed);
        const { outbox } = await freezeOutbox(local.driver, local.schema, FREEZE);
        if (outbox.state !== 'prepared') return;
        const fates = past.added ? past.fates : [];
        const rows = (await committedRows(local, fates, 7n)).map(({ row, wireKey }) => ({ ...row, wireKey }));
        const hasher = new RowHasher();
        rows.forEach((row, ordinal) =>
          hasher.addRow(committedRowText({ ...row, key: row.wireKey, row_version: row.rowVersion }, ordinal)),
        );
        const match = new FrozenMatch(local.schema);
        await match.load(local.driver, outbox.sourceBundleId, 0, rows.length);
        const isUnchanged = match.unmatched(0, rows).length === 0 && rows.every((row) => row.rowVersion === 7n);
        const candidate = new CandidateHasher(local.schema, new ProofMemory(), 7n, createSha256);
        for (let hasMore = true; hasMore;) hasMore = await candidate.takePage(local.driver, { rowsMax: 3, bytesMax: 300 });
        const result = candidate.result();
        expect(result?.hash === hasher.digestHex()).toBe(isUnchanged);
        if (isUnchanged) expect(result?.runs).toEqual(match.runs);
        counts[isUnchanged ? 'proved' : 'refuted'] += 1;
      }),
      { numRuns: 150 },
    );
    expect(Math.min(counts.proved, counts.refuted)).toBeGreaterThan(10);
  });

  test('a JSON column takes the canonical text although the row came back as it was sent', async () => {
    const config = { tables: [{ tableName: 'docs', syncKeyColumnName: 'id', jsonColumns: ['doc'] }] };
    const local = await openAttached('CREATE TABLE docs (id TEXT PRIMARY KEY NOT NULL, doc TEXT)', config);
    local.driver.database.exec(`INSERT INTO docs VALUES ('a', '{"b": 1, "a": 2}')`);
    const pushed = await pushOnce(local, [], [], [], false, 1n, true);
    expect(pushed?.matchedCount).toBe(1);
    expect(query(local, 'SELECT doc FROM docs')).toEqual([{ doc: '{"a":2,"b":1}' }]);
  });

  test('[T57] a key that was committed twice is refused, whatever came back as it was sent', async () => {
    const local = await openAttached('CREATE TABLE items (id TEXT PRIMARY KEY NOT NULL, name TEXT)');
    local.driver.database.exec(`INSERT INTO items VALUES ('a', 'A')`);
    const { outbox } = await freezeOutbox(local.driver, local.schema, FREEZE);
    if (outbox.state !== 'prepared') throw new Error('nothing was frozen');
    const committed = await storeCommittedRemote(local.driver, outbox, { bundleSeq: 1n, bundleHash: 'h' });
    const [row] = checkIncomingRows(local.schema, [serverRow('items', 'a', 1n, { name: 'B' })]);
    if (row === undefined) throw new Error('no row');
    await local.driver.transaction('immediate', (tx) => stageRowsAt(tx, 1n, [{ ordinal: 1, row }]));
    const replay = replayCommittedBundle(local.driver, local.schema, {
      ...APPLY,
      outbox: committed,
      bundle: { staged: true },
      matched: [{ table: 'items', isDelete: false, first: 0, last: 0, rowVersion: 1n }],
    });
    await expect(replay).rejects.toMatchObject({ code: 'rebuild_required' });
    expect(query(local, 'SELECT name FROM items')).toEqual([{ name: 'A' }]);
  });

  test('a version that changes from row to row ends in the stage after so many runs', async () => {
    const local = await openAttached('CREATE TABLE items (id TEXT PRIMARY KEY NOT NULL, name TEXT)');
    for (let index = 0; index < 2 * MATCHED_RUNS_MAX; index += 1)
      local.driver.database.exec(`INSERT INTO items VALUES ('${index}', 'n')`);
    await freezeOutbox(local.driver, local.schema, FREEZE);
    const rows = (await committedRows(local, [], 1n)).map(({ row, wireKey }, index) => ({
      ...row,
      wireKey,
      rowVersion: BigInt(index + 1),
    }));
    const match = new FrozenMatch(local.schema);
    await match.load(local.driver, 1n, 0, rows.length);
    expect(match.unmatched(0, rows)).toHaveLength(MATCHED_RUNS_MAX);
    expect(match.runs).toHaveLength(MATCHED_RUNS_MAX);
  });

  test('[I7] a peer whose row was pulled meanwhile does not undo an edit', async () => {
    const local = await openAttached('CREATE TABLE items (id TEXT PRIMARY KEY NOT NULL, name TEXT)');
    const rows = checkIncomingRows(local.schema, [serverRow('items', 'a', 1n, { name: 'A' })]);
    await applyBundles(local.driver, local.schema, [{ bundleSeq: 1n, rows }], APPLY);
    local.driver.database.exec(`UPDATE items SET name = 'B'`);
    const { outbox } = await freezeOutbox(local.driver, local.schema, FREEZE);
    if (outbox.state !== 'prepared') throw new Error('nothing was frozen');
    local.driver.database.exec(`UPDATE items SET name = 'C'`);
    const committed = await storeCommittedRemote(local.driver, outbox, { bundleSeq: 2n, bundleHash: 'h' });
    const result = await replayCommittedBundle(local.driver, local.schema, {
      ...APPLY,
      outbox: committed,
      bundle: { rows: [] },
      matched: [{ table: 'items', isDelete: false, first: 0, last: 0, rowVersion: 2n }],
    });
    expect(result).toMatchObject({ committedRowCount: 1, requeuedRowCount: 1, tables: ['items'], lastBundleSeqSeen: 2n });
    expect(query(local, 'SELECT name FROM items')).toEqual([{ name: 'C' }]);
    expect(query(local, 'SELECT op, base_row_version FROM _sync_dirty_rows')).toEqual([{ op: 'UPDATE', base_row_version: 2 }]);
  });
});
