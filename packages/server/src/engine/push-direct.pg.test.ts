import { randomUUID } from 'node:crypto';

import type { JsonObject } from '@oversync/protocol';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { Postgres } from '../ports/postgres.ts';
import type { Actor, SyncContext } from './context.ts';
import { commitPush } from './push-commit.ts';
import { initializeScope, openPushFixture, readBundle, refusal, stagePush } from './test-push.ts';
import type { PushFixture, TestRow } from './test-push.ts';

const SCHEMA = `
CREATE TYPE mood AS ENUM ('calm', 'loud');
CREATE DOMAIN short AS varchar(6) CHECK (VALUE <> 'forbid');
CREATE TABLE rich (
  _sync_scope_id text NOT NULL, id uuid NOT NULL,
  n int4, amount numeric(8, 3), free numeric, ratio float8, small float4, flag boolean, raw bytea,
  at timestamptz(3), local timestamp, day date, clock time, code char(5), name varchar(40), mood mood, word short, doc jsonb, note text,
  PRIMARY KEY (_sync_scope_id, id), UNIQUE (_sync_scope_id, n) DEFERRABLE INITIALLY IMMEDIATE
);
CREATE TABLE named (_sync_scope_id text NOT NULL, id text NOT NULL, "order" text, PRIMARY KEY (_sync_scope_id, id));
CREATE TABLE parent (_sync_scope_id text NOT NULL, id text NOT NULL, label text, PRIMARY KEY (_sync_scope_id, id));
CREATE TABLE child (
  _sync_scope_id text NOT NULL, id text NOT NULL, parent_id text, label text, PRIMARY KEY (_sync_scope_id, id),
  FOREIGN KEY (_sync_scope_id, parent_id) REFERENCES parent ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);
CREATE TABLE stamped (_sync_scope_id text NOT NULL, id text NOT NULL, label text, PRIMARY KEY (_sync_scope_id, id));
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF pg_trigger_depth() = 1 THEN UPDATE stamped SET label = label || '!' WHERE id = NEW.id AND _sync_scope_id = NEW._sync_scope_id; END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER stamp AFTER INSERT ON stamped FOR EACH ROW EXECUTE FUNCTION stamp();`;

const TABLES = ['rich', 'named', 'parent', 'child', 'stamped'].map((table) => ({ table, syncKeyColumn: 'id' }));

const uuid = (index: number): string => `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`;

/** One of the values, and once in a while one that its column refuses. */
const rarely = (refused: string, ...values: readonly (string | null)[]): fc.Arbitrary<string | null> =>
  fc.oneof({ weight: 30, arbitrary: fc.constantFrom(...values) }, { weight: 1, arbitrary: fc.constant(refused) });

/** Texts of which some are refused, some changed and some kept by the type of their column. */
const VALUES = {
  n: fc.oneof(fc.integer({ min: 0, max: 15 }).map(String), fc.constant(null)),
  amount: rarely('99999.9996', '1', '-0.5', '12345.678', '1.23456', '1e2', null),
  free: fc.constantFrom('1.50', '0.000', '-12345678901234567890.5', null),
  ratio: fc.constantFrom('0.1', '1e+21', '-1.5e-7', '9007199254740992', null),
  small: fc.constantFrom('0.5', '3.25', null),
  flag: fc.constantFrom('0', '1', null),
  raw: fc.constantFrom('', 'AAEC', null),
  at: fc.constantFrom('2026-01-02T03:04:05.678901Z', '2026-01-02T05:04:05+02:00', '0099-01-01T00:00:00Z', null),
  local: fc.constantFrom('2026-01-02T03:04:05', '2026-01-02T03:04:05.1', null),
  day: fc.constantFrom('2026-01-02', null),
  clock: fc.constantFrom('03:04:05', '03:04:05.120', null),
  code: fc.constantFrom('a', 'abcde', 'ab   ', null),
  name: fc.constantFrom('quoted "name"', 'tab\tand\\', 'line\nbreak', 'é 日本 😀', '', null),
  mood: fc.constantFrom('calm', 'loud', null),
  word: rarely('forbid', 'word', null),
  doc: fc.constantFrom<JsonObject | null>(null, { b: '1', a: [true, null] }),
  note: fc.oneof(
    fc.string({ maxLength: 12 }).filter((text) => text.isWellFormed() && !text.includes('\0')),
    fc.constant(null),
  ),
};

interface RichRow {
  readonly index: number;
  readonly values: JsonObject;
}

const richRow: fc.Arbitrary<RichRow> = fc.record({
  index: fc.integer({ min: 0, max: 6 }),
  values: fc.record(VALUES, { noNullPrototype: true }),
});

function raiseNoRow(): never {
  throw new Error('there is no such row');
}

/** Pushes of one operation each; versions are the right ones but for some rows. */
const history = fc.array(
  fc.record({
    op: fc.constantFrom<TestRow['op']>('INSERT', 'UPDATE', 'DELETE'),
    rows: fc.uniqueArray(richRow, { minLength: 1, maxLength: 5, selector: ({ index }) => index }),
    isStale: fc.integer({ min: 0, max: 5 }).map((die) => die === 0),
    repeatsKey: fc.integer({ min: 0, max: 7 }).map((die) => die === 0),
  }),
  { minLength: 3, maxLength: 8 },
);

describe('[P3] [C5] [I11] a push that one statement commits', () => {
  let fixture: PushFixture;
  let contexts: readonly [direct: SyncContext, stepwise: SyncContext];
  beforeAll(async () => {
    fixture = await openPushFixture({ schema: SCHEMA, tables: TABLES });
    contexts = [
      { ...fixture.ctx, takesShortWay: false },
      { ...fixture.ctx, takesShortWay: false, commitsDirectly: false },
    ];
  });
  afterAll(() => fixture.close());

  /** The same pushes on two scopes, one committed directly and one step by step. */
  class Pair {
    readonly actors: readonly [Actor, Actor];
    sourceBundleId = 0n;

    private constructor(actors: readonly [Actor, Actor]) {
      this.actors = actors;
    }

    static async open(): Promise<Pair> {
      const actors = [1, 2].map((number) => ({ scopeId: `${randomUUID()}-${String(number)}`, sourceId: 'device-a' }));
      for (const actor of actors) await initializeScope(fixture.pg, actor.scopeId);
      const [first, second] = actors;
      if (first === undefined || second === undefined) throw new Error('two scopes are needed');
      return new Pair([first, second]);
    }

    /** Pushes to both and compares everything that is left; resolves to what the first one was answered, and its round trips. */
    async push(
      rows: readonly TestRow[],
      directCtx: SyncContext = contexts[0],
    ): Promise<{ readonly answer: Record<string, unknown>; readonly roundTrips: number }> {
      const used = [directCtx, contexts[1]];
      const sourceBundleId = this.sourceBundleId + 1n;
      const answers: Record<string, unknown>[] = [];
      const trips: number[] = [];
      for (const [index, actor] of this.actors.entries()) {
        const ctx = used[index] ?? fixture.ctx;
        answers.push(
          await refusal(
            (async () => {
              const pushId = await stagePush(ctx, actor, rows, {
                sourceBundleId,
                chunkRows: rows.length > CHUNK_ROWS ? CHUNK_ROWS : Math.max(1, rows.length - 1),
              });
              trips.push(await fixture.counting.measure(() => commitPush(ctx, actor, pushId)));
            })(),
          ),
        );
      }
      const [answer = {}, expected] = answers;
      expectEqual(answer, expected);
      if (answer['code'] === 'accepted') this.sourceBundleId = sourceBundleId;
      await this.compare();
      return { answer, roundTrips: trips[0] ?? 0 };
    }

    async compare(): Promise<void> {
      const [direct, stepwise] = await Promise.all(this.actors.map((actor) => readScope(fixture, actor.scopeId)));
      expectEqual(direct, stepwise);
    }

    async versions(table: string): Promise<ReadonlyMap<string, { readonly version: bigint; readonly isDeleted: boolean }>> {
      const { rows } = await fixture.pg.query(
        `SELECT convert_from(r.key_bytes, 'UTF8'), r.version, r.deleted FROM sync.row_state r JOIN sync.scope s USING (scope_pk)
         JOIN sync.registered_table t USING (table_id) WHERE s.scope_id = $1 AND t.table_name = $2 AND t.key_kind = 2
         UNION ALL SELECT encode(r.key_bytes, 'hex')::uuid::text, r.version, r.deleted FROM sync.row_state r JOIN sync.scope s USING (scope_pk)
         JOIN sync.registered_table t USING (table_id) WHERE s.scope_id = $1 AND t.table_name = $2 AND t.key_kind = 1`,
        [this.actors[0].scopeId, table],
      );
      return new Map(
        rows.map(([key, version, deleted]) => [key ?? '', { version: BigInt(version ?? 0), isDeleted: deleted === 't' }]),
      );
    }
  }

  it('leaves what going step by step leaves, whatever the values, keys and versions are', async () => {
    const codes = new Set<unknown>();
    let directCount = 0;
    await fc.assert(
      fc.asyncProperty(history, async (pushes) => {
        const pair = await Pair.open();
        for (const { op, rows, isStale, repeatsKey } of pushes) {
          const known = await pair.versions('rich');
          const all = repeatsKey ? [...rows, ...rows.slice(0, 1)] : rows;
          const pushed = all.map(({ index, values }): TestRow => {
            const id = uuid(index);
            const base = (known.get(id)?.version ?? 0n) - (isStale && index === 0 ? 1n : 0n);
            const wanted = known.has(id) || isStale ? op : 'INSERT';
            return {
              table: 'rich',
              key: { id },
              op: wanted,
              base,
              ...(wanted === 'DELETE' ? {} : { payload: { id, ...values } }),
            };
          });
          const { answer, roundTrips } = await pair.push(pushed);
          codes.add(answer['code']);
          if (answer['code'] === 'accepted' && roundTrips < STEPWISE_ROUND_TRIPS) directCount += 1;
        }
      }),
      { numRuns: 12, seed: 20_261_125 },
    );
    expect(directCount).toBeGreaterThan(10);
    expect(codes).toContain('push_conflict');
    expect(codes).toContain('push_commit_invalid');
  }, 60_000);

  describe('in parts', () => {
    const inParts = (): SyncContext => ({ ...contexts[0], directPartRows: 448 });
    const list = (op: TestRow['op'], base: bigint, count = 1000): TestRow[] =>
      Array.from({ length: count }, (_, index) => {
        const id = `k "${String(index)}" ,{"schema":`;
        return {
          table: 'named',
          key: { id },
          op,
          base,
          ...(op === 'DELETE' ? {} : { payload: { id, order: `${op} é ${String(index)}` } }),
        };
      });

    it('leaves the same too, with the same hash', async () => {
      const pair = await Pair.open();
      for (const rows of [list('INSERT', 0n), list('UPDATE', 1n), list('DELETE', 2n), list('INSERT', 3n, 449)]) {
        const { answer, roundTrips } = await pair.push(rows, inParts());
        expect(answer).toEqual({ code: 'accepted' });
        expect(roundTrips).toBeLessThan(STEPWISE_ROUND_TRIPS);
      }
    });

    it('leaves the same through a driver that keeps every text until the end', async () => {
      const pair = await Pair.open();
      const ctx = { ...inParts(), db: keepTexts(inParts().db) };
      for (const rows of [list('INSERT', 0n), list('UPDATE', 1n), list('DELETE', 2n)]) {
        const { answer } = await pair.push(rows, ctx);
        expect(answer).toEqual({ code: 'accepted' });
      }
    });

    it('finds a key that was deleted before and comes as a new one', async () => {
      const pair = await Pair.open();
      await pair.push(list('INSERT', 0n, 1), inParts());
      await pair.push(list('DELETE', 1n, 1), inParts());
      const { answer } = await pair.push(list('INSERT', 0n), inParts());
      expect(answer['code']).toBe('push_conflict');
    });

    it.each(['UPDATE', 'DELETE'] as const)('finds a key that an earlier part has written: %s', async (op) => {
      const pair = await Pair.open();
      await pair.push(list('INSERT', 0n), inParts());
      const rows = list(op, 1n);
      // The version that this bundle gives the key in its first part.
      const repeated = { ...(rows[3] ?? raiseNoRow()), base: 2n };
      const { answer } = await pair.push([...rows.slice(0, 900), repeated], inParts());
      expect(answer['code']).toBe('push_commit_invalid');
    });

    it('finds a key that is inserted in two parts', async () => {
      const pair = await Pair.open();
      const rows = list('INSERT', 0n, 900);
      const { answer } = await pair.push([...rows, rows[3] ?? raiseNoRow()], inParts());
      expect(answer['code']).toBe('push_commit_invalid');
    });

    it('writes nothing when a row of the last part is in conflict', async () => {
      const pair = await Pair.open();
      await pair.push(list('INSERT', 0n), inParts());
      const rows = list('UPDATE', 1n);
      const { answer } = await pair.push([...rows.slice(0, -1), { ...(rows.at(-1) ?? raiseNoRow()), base: 7n }], inParts());
      expect(answer['code']).toBe('push_conflict');
    });
  });

  it('may name several tables, and keys that were deleted before', async () => {
    const pair = await Pair.open();
    const rows = (op: TestRow['op'], base: bigint): readonly TestRow[] =>
      ['parent', 'named'].flatMap((table) =>
        Array.from({ length: 500 }, (_, index) => {
          const id = `k "${String(index)}" ,"row_version":`;
          const payload = table === 'named' ? { id, order: `${op} ${String(index)}` } : { id, label: null };
          return { table, key: { id }, op, base, ...(op === 'DELETE' ? {} : { payload }) };
        }),
      );
    for (const [op, base] of [
      ['INSERT', 0n],
      ['UPDATE', 1n],
    ] as const) {
      const { answer, roundTrips } = await pair.push(rows(op, base));
      expect(answer).toEqual({ code: 'accepted' });
      expect(roundTrips).toBeLessThan(STEPWISE_ROUND_TRIPS);
    }
    // What is deleted takes its children along, so only the table without any goes directly.
    expect((await pair.push(rows('DELETE', 2n))).answer).toEqual({ code: 'accepted' });
    const { answer, roundTrips } = await pair.push(rows('INSERT', 3n));
    expect(answer).toEqual({ code: 'accepted' });
    expect(roundTrips).toBeLessThan(STEPWISE_ROUND_TRIPS);
  });

  it('finds keys that are known already among rows that are new to their device', async () => {
    const pair = await Pair.open();
    const row = (id: string, op: TestRow['op'], base: bigint): TestRow => ({
      table: 'named',
      key: { id },
      op,
      base,
      ...(op === 'DELETE' ? {} : { payload: { id, order: op } }),
    });
    await pair.push([row('live', 'INSERT', 0n), row('gone', 'INSERT', 0n)]);
    await pair.push([row('gone', 'DELETE', 1n)]);
    for (const known of ['live', 'gone']) {
      const { answer } = await pair.push([row('new', 'INSERT', 0n), row(known, 'INSERT', 0n)]);
      expect(answer['code'], known).toBe('push_conflict');
    }
    const mixed = await pair.push([row('new', 'INSERT', 0n), row('gone', 'INSERT', 2n)]);
    expect(mixed.answer).toEqual({ code: 'accepted' });
    expect(mixed.roundTrips).toBeLessThan(STEPWISE_ROUND_TRIPS);
  });

  it('is taken back when a trigger or a cascade has written as well, and goes step by step the next time', async () => {
    const pair = await Pair.open();
    const stamped = (id: string): readonly TestRow[] => [
      { table: 'stamped', key: { id }, op: 'INSERT', payload: { id, label: 'as pushed' } },
    ];
    const first = await pair.push(stamped('a'));
    const second = await pair.push(stamped('b'));
    expect([first.answer, second.answer]).toEqual([{ code: 'accepted' }, { code: 'accepted' }]);
    expect(second.roundTrips).toBeLessThan(first.roundTrips);
    const { rows } = await fixture.pg.query('SELECT label FROM stamped WHERE _sync_scope_id = $1', [pair.actors[0].scopeId]);
    expect(rows).toEqual([['as pushed!'], ['as pushed!']]);
    await pair.push([
      { table: 'parent', key: { id: 'p' }, op: 'INSERT', payload: { id: 'p', label: null } },
      { table: 'child', key: { id: 'c' }, op: 'INSERT', payload: { id: 'c', parent_id: 'p', label: null } },
    ]);
    await pair.push([{ table: 'parent', key: { id: 'p' }, op: 'DELETE', base: 3n }]);
    const [scope] = pair.actors;
    const scopePk = await findScopePk(fixture, scope.scopeId);
    const bundle = await readBundle(fixture.pg, 4n, scopePk);
    expect(bundle.map((row) => [row['table'], row['op']])).toEqual([
      ['parent', 'DELETE'],
      ['child', 'DELETE'],
    ]);
  });

  it('finds a row that was lost, and writes down that it is gone', async () => {
    const pair = await Pair.open();
    const row = (op: TestRow['op'], base: bigint): readonly TestRow[] => [
      { table: 'named', key: { id: 'a' }, op, base, payload: { id: 'a', order: op } },
    ];
    await pair.push(row('INSERT', 0n));
    await fixture.pg.run(
      'ALTER TABLE named DISABLE TRIGGER oversync_capture_delete; DELETE FROM named; ALTER TABLE named ENABLE ALWAYS TRIGGER oversync_capture_delete',
    );
    fixture.events.length = 0;
    expect((await pair.push(row('UPDATE', 1n))).answer).toEqual({ code: 'accepted' });
    expect(fixture.events.filter(({ name }) => name === 'driftRepaired')).toHaveLength(2);
  });

  it('cuts blocks by bytes as well, when many small rows come with one large one', async () => {
    const pair = await Pair.open();
    const rows = Array.from({ length: 1200 }, (_, index): TestRow => {
      const id = `n${String(index)}`;
      return {
        table: 'named',
        key: { id },
        op: 'INSERT',
        payload: { id, order: index === 500 ? 'x'.repeat(1_100_000) : 'small' },
      };
    });
    expect((await pair.push(rows)).answer).toEqual({ code: 'accepted' });
    const large = rows
      .slice(0, 900)
      .map((row): TestRow => ({ ...row, op: 'UPDATE', base: 1n, payload: { ...row.payload, order: 'y'.repeat(2000) } }));
    const { answer, roundTrips } = await pair.push(large);
    expect(answer).toEqual({ code: 'accepted' });
    expect(roundTrips).toBeLessThan(STEPWISE_ROUND_TRIPS);
  });
});

/** The same database through a driver that hands no text over. */
function keepTexts(db: Postgres): Postgres {
  return {
    features: db.features,
    query: (sql, params) => db.query(sql, params),
    transaction: (begin, fn) =>
      db.transaction(begin, (tx) => {
        const run = tx.run?.bind(tx);
        return fn({
          query: (sql, params) => tx.query(sql, params),
          script: (sql) => tx.script(sql),
          ...(run === undefined ? {} : { run: (statements, commits) => run(statements, commits) }),
          copyFrom: (sql, chunks) => tx.copyFrom(sql, chunks),
          copyTo: (sql) => tx.copyTo(sql),
        });
      }),
  };
}

function expectEqual(direct: unknown, stepwise: unknown): void {
  expect(direct).toEqual(stepwise);
}

/** Rows of a chunk. The last row of a push comes alone, because a key that stands twice in one chunk is refused there already. */
const CHUNK_ROWS = 1000;

/** Of a commit that looks at the keys before it applies anything. */
const STEPWISE_ROUND_TRIPS = 6;

async function findScopePk(fixture: PushFixture, scopeId: string): Promise<string> {
  const { rows } = await fixture.pg.query('SELECT scope_pk FROM sync.scope WHERE scope_id = $1', [scopeId]);
  return rows[0]?.[0] ?? '';
}

/** Everything about a scope but its number, the times and the places of its rows. */
async function readScope(fixture: PushFixture, scopeId: string): Promise<unknown> {
  const scopePk = await findScopePk(fixture, scopeId);
  const read = async (sql: string): Promise<unknown> => (await fixture.pg.query(sql, [scopePk])).rows;
  const tables = ['rich', 'named', 'parent', 'child', 'stamped'].map(async (table) => {
    const { rows } = await fixture.pg.query(
      `SELECT (to_jsonb(t) - '_sync_scope_id')::text FROM ${table} t WHERE _sync_scope_id = $1 ORDER BY id`,
      [scopeId],
    );
    return rows;
  });
  return Promise.all([
    ...tables,
    read('SELECT head, floor, bundle_count, bundle_bytes, wire_bytes FROM sync.scope WHERE scope_pk = $1'),
    read(
      'SELECT bundle_seq, row_count, bundle_hash, canonical_bytes, wire_bytes, wire_bytes_total FROM sync.bundle WHERE scope_pk = $1 ORDER BY 1',
    ),
    read(
      'SELECT bundle_seq, first_row_ordinal, row_count, shape_keys, row_lengths, row_texts FROM sync.bundle_block WHERE scope_pk = $1 ORDER BY 1, 2',
    ),
    read('SELECT table_id, key_bytes, version, deleted FROM sync.row_state WHERE scope_pk = $1 ORDER BY 1, 2'),
    read('SELECT version, table_id, key_bytes FROM sync.tombstone WHERE scope_pk = $1 ORDER BY 1, 2, 3'),
    read('SELECT source_id, state, watermark FROM sync.source WHERE scope_pk = $1'),
    read('SELECT table_id FROM sync.capture WHERE scope_pk = $1'),
  ]);
}
