import { randomUUID } from 'node:crypto';

import { createJsonObject, isSyncError } from '@oversync/protocol';
import type { JsonObject } from '@oversync/protocol';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { isPostgresJs } from '../test-driver.ts';
import type { Actor, SyncContext } from './context.ts';
import { commitPush } from './push-commit.ts';
import { stagePushChunk } from './push-chunk.ts';
import { getPushMemory } from './push-memory.ts';
import {
  initializeScope,
  openPushFixture,
  openSession,
  push,
  readBundle,
  requirePushId,
  stagePush,
  toChunkBody,
} from './test-push.ts';
import type { PushFixture, TestRow } from './test-push.ts';

/** `orders` cascade, `users` whose name begins with `audit` touch another table, and a deferred trigger counts what is left. */
const SCHEMA = `
CREATE TABLE users (_sync_scope_id text NOT NULL, id text NOT NULL, name varchar(12), email text, score float8 DEFAULT 0.1, amount numeric(8,2),
  PRIMARY KEY (_sync_scope_id, id), UNIQUE (_sync_scope_id, email), CHECK (name <> 'refused'));
CREATE TABLE orders (_sync_scope_id text NOT NULL, id uuid NOT NULL, user_id text, note text, at timestamptz, PRIMARY KEY (_sync_scope_id, id),
  FOREIGN KEY (_sync_scope_id, user_id) REFERENCES users ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE audit (_sync_scope_id text NOT NULL, id text NOT NULL, times int NOT NULL DEFAULT 1, PRIMARY KEY (_sync_scope_id, id));
CREATE FUNCTION audit_user() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO audit AS a (id) VALUES (NEW.id) ON CONFLICT (_sync_scope_id, id) DO UPDATE SET times = a.times + 1; RETURN NULL; END $$;
CREATE TRIGGER audit_user AFTER INSERT OR UPDATE ON users FOR EACH ROW WHEN (NEW.name LIKE 'audit%') EXECUTE FUNCTION audit_user();
CREATE FUNCTION raise_score() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  UPDATE users SET score = score + 1 WHERE _sync_scope_id = NEW._sync_scope_id AND id = NEW.user_id; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER raise_score AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN (NEW.note = 'raise') EXECUTE FUNCTION raise_score();`;
const TABLES = ['users', 'orders', 'audit'].map((table) => ({ table, syncKeyColumn: 'id' }));

const USERS = ['a', 'b', 'c'] as const;
const ORDERS = [1, 2, 3].map((number) => `00000000-0000-4000-8000-00000000000${number}`);

/** `back`: how many bundles before the head the row's version is; most are what the scope has. */
interface GeneratedRow {
  readonly id: string;
  readonly row: Omit<TestRow, 'base'> & { readonly payload: JsonObject };
  readonly back: 'current' | number;
}

function toJsonObject(fields: Readonly<Record<string, string | number | null | undefined>>): JsonObject {
  const object = createJsonObject();
  for (const [name, value] of Object.entries(fields)) if (value !== undefined) object[name] = value;
  return object;
}

/** Mostly one of the `usual`, now and then one that is refused or touches other rows. */
function mostly<Value>(usual: readonly Value[], seldom: readonly Value[]): fc.Arbitrary<Value> {
  return fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...usual) }, { weight: 1, arbitrary: fc.constantFrom(...seldom) });
}

/** Some rows say all about themselves, so that one statement can apply them and write their history. */
function someOrAll(model: Readonly<Record<string, fc.Arbitrary<string | number | null>>>) {
  return fc.oneof(fc.record(model, { requiredKeys: [] }), fc.record(model));
}

const users = fc.record({
  table: fc.constant('users'),
  id: fc.constantFrom(...USERS),
  fields: someOrAll({
    name: mostly(['plain', null], ['audit me', 'refused', 'longer than twelve']),
    email: mostly([null], ['one@example']),
    score: fc.constantFrom(0.1, 1e21, -2.5),
    amount: mostly(['1.5', '12.345'], ['99999999']),
  }),
});
const orders = fc.record({
  table: fc.constant('orders'),
  id: fc.constantFrom(...ORDERS),
  fields: someOrAll({
    user_id: mostly<string | null>([null], USERS),
    note: mostly(['plain', 'quo"te\n'], ['raise']),
    at: fc.constantFrom('2026-01-02T03:04:05.678901Z', '2026-01-02T03:04:05+02:00'),
  }),
});
const generatedRow: fc.Arbitrary<GeneratedRow> = fc
  .tuple(
    fc.oneof(users, orders),
    fc.constantFrom('INSERT', 'UPDATE', 'UPDATE', 'DELETE'),
    fc.oneof({ weight: 15, arbitrary: fc.constant<'current'>('current') }, { weight: 1, arbitrary: fc.nat(3) }),
  )
  .map(([{ table, id, fields }, op, back]) => ({
    id,
    row: { table, key: { id }, op, payload: toJsonObject({ id, ...fields }) },
    back,
  }));
const pushes = fc.array(fc.array(generatedRow, { minLength: 1, maxLength: 3 }), { minLength: 2, maxLength: 7 });

describe('[I5] [I11] the short way of small pushes', () => {
  let fixture: PushFixture;
  beforeAll(async () => {
    fixture = await openPushFixture({ schema: SCHEMA, tables: TABLES });
  });
  afterAll(() => fixture.close());

  async function openScope(): Promise<Actor> {
    const actor = { scopeId: randomUUID(), sourceId: 'device-a' };
    await initializeScope(fixture.pg, actor.scopeId);
    return actor;
  }

  /** A row that is what the scope has, so that most pushes are accepted. */
  async function withBase(actor: Actor, { id, row, back }: GeneratedRow): Promise<TestRow> {
    const keyHex = row.table === 'orders' ? id.replaceAll('-', '') : Buffer.from(id).toString('hex');
    const { rows } = await fixture.pg.query(
      `SELECT s.head, coalesce(r.version, 0), coalesce(r.deleted, true) FROM sync.scope s
       LEFT JOIN sync.registered_table t ON t.table_name = $2
       LEFT JOIN sync.row_state r ON r.scope_pk = s.scope_pk AND r.table_id = t.table_id AND r.key_bytes = decode($3, 'hex')
       WHERE s.scope_id = $1`,
      [actor.scopeId, row.table, keyHex],
    );
    const [head, version, deleted] = rows[0] ?? [];
    const isThere = deleted === 'f';
    const op = back !== 'current' ? row.op : !isThere ? 'INSERT' : row.op === 'INSERT' ? 'UPDATE' : row.op;
    const base = back === 'current' ? BigInt(version ?? 0) : BigInt(Math.max(0, Number(head) - back));
    const { payload, ...others } = row;
    return { ...others, op, base, ...(op === 'DELETE' ? {} : { payload }) };
  }

  async function outcomeOf(ctx: SyncContext, actor: Actor, rows: readonly TestRow[], sourceBundleId: bigint): Promise<unknown> {
    try {
      return await push(ctx, actor, rows, { sourceBundleId });
    } catch (error) {
      if (!isSyncError(error)) throw error;
      return { code: error.code, details: error.details };
    }
  }

  /** Everything that the server holds of a scope, but for ids and instants. */
  async function dump({ scopeId }: Actor): Promise<unknown> {
    const read = async (columns: string, table: string, order: string) =>
      (
        await fixture.pg.query(
          `SELECT ${columns} FROM sync.${table} x JOIN sync.scope s USING (scope_pk) WHERE s.scope_id = $1 ORDER BY ${order}`,
          [scopeId],
        )
      ).rows;
    const business = async (table: string) =>
      (
        await fixture.pg.query(
          `SELECT (to_jsonb(t) - '_sync_scope_id')::text FROM ${table} t WHERE _sync_scope_id = $1 ORDER BY id`,
          [scopeId],
        )
      ).rows;
    return {
      scope: await read('s.head, s.floor, s.state, s.bundle_count, s.bundle_bytes, s.wire_bytes', 'source', '1'),
      source: await read('x.source_id, x.state, x.kind, x.watermark', 'source', '1'),
      bundles: await read(
        'bundle_seq, source_id, source_bundle_id, row_count, bundle_hash, canonical_request_hash, canonical_bytes, x.wire_bytes, wire_bytes_total',
        'bundle',
        '1',
      ),
      blocks: await read('bundle_seq, first_row_ordinal, row_count, shape_keys, row_lengths, row_texts', 'bundle_block', '1,2'),
      states: await read('table_id, key_bytes, version, deleted', 'row_state', '1,2'),
      tombstones: await read('version, table_id, key_bytes', 'tombstone', '1,2,3'),
      staged: await read(
        'row_ordinal, table_id, op, column_set, canonical_text, replace(apply_text, s.scope_id, $$scope$$)',
        'push_row',
        '1',
      ),
      sessions: await read(
        'source_id, source_bundle_id, planned_row_count, next_row_ordinal, staged_bytes, row_layout',
        'push_session',
        '1',
      ),
      captured: await read('table_id, key_bytes', 'capture', '1,2'),
      users: await business('users'),
      orders: await business('orders'),
      audit: await business('audit'),
    };
  }

  it('does, says and leaves behind what the ordinary way does', async () => {
    let committed = 0;
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(pushes, async (generated) => {
        const [short, ordinary] = [await openScope(), await openScope()];
        // What was not plain before is not tried again; here every push shall be.
        const peer = await fixture.createPeer();
        let sourceBundleId = 1n;
        for (const rows of generated) {
          const based = [];
          for (const row of rows) based.push(await withBase(ordinary, row));
          const found = await outcomeOf(peer, short, based, sourceBundleId);
          expect(found).toEqual(await outcomeOf({ ...fixture.ctx, takesShortWay: false }, ordinary, based, sourceBundleId));
          expect(await dump(short)).toEqual(await dump(ordinary));
          const isCommitted = typeof found === 'object' && found !== null && 'bundle_hash' in found;
          if (isCommitted) sourceBundleId += 1n;
          committed += isCommitted ? 1 : 0;
          refused += isCommitted ? 0 : 1;
        }
      }),
      { numRuns: 30 },
    );
    expect(committed).toBeGreaterThan(5);
    expect(refused).toBeGreaterThan(1);
  });

  const whole = (op: TestRow['op'], base: bigint, note: string): readonly TestRow[] => {
    const [id = ''] = ORDERS;
    const payload = { id, user_id: null, note, at: '2026-01-02T03:04:05Z' };
    return [{ table: 'orders', key: { id }, op, base, ...(op === 'DELETE' ? {} : { payload }) }];
  };

  it('writes rows and history in one statement where a push says all about its rows, and nothing for a row in conflict', async () => {
    const actor = await openScope();
    const peer = await fixture.createPeer();
    await push(peer, actor, whole('INSERT', 0n, 'first'));
    for (const [index, op] of (['UPDATE', 'UPDATE', 'DELETE', 'INSERT', 'UPDATE'] as const).entries()) {
      const sourceBundleId = BigInt(index) + 2n;
      const rows = whole(op, sourceBundleId - 1n, `${op} ${String(index)}`);
      const stepwise = { ...peer, commitsDirectly: false };
      const pushId = await stagePush(peer, actor, rows, { sourceBundleId });
      const count = (ctx: SyncContext): Promise<number> =>
        fixture.counting.measure(async () => void (await commitPush(ctx, actor, pushId)));
      // Whichever way, one round trip, or two with a driver that sends COMMIT by itself; both leave the same kind of bundle, which the
      // generated pushes compare.
      expect(await count(index % 2 === 0 ? peer : stepwise)).toBe(isPostgresJs ? 2 : 1);
    }
    await expect(push(peer, actor, whole('UPDATE', 3n, 'late'), { sourceBundleId: 7n })).rejects.toMatchObject({
      code: 'push_conflict',
    });
    expect(await push(peer, actor, whole('UPDATE', 6n, 'in time'), { sourceBundleId: 7n })).toMatchObject({ bundle_seq: 7n });
  });

  it('goes the ordinary way for a table that got a trigger which has a say in its rows', async () => {
    const actor = await openScope();
    const peer = await fixture.createPeer();
    await push(peer, actor, whole('INSERT', 0n, 'plain'));
    await fixture.pg
      .run(`CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := upper(NEW.note); RETURN NEW; END $$;
      CREATE TRIGGER shout BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION shout()`);
    try {
      expect(await push(peer, actor, whole('UPDATE', 1n, 'quiet'), { sourceBundleId: 2n })).toMatchObject({ bundle_seq: 2n });
      const scope = await fixture.pg.query('SELECT scope_pk FROM sync.scope WHERE scope_id = $1', [actor.scopeId]);
      const [row] = await readBundle(fixture.pg, 2n, scope.rows[0]?.[0] ?? '');
      expect(row?.['payload']).toMatchObject({ note: 'QUIET' });
    } finally {
      await fixture.pg.run('DROP TRIGGER shout ON orders; DROP FUNCTION shout()');
    }
  });

  it.skipIf(isPostgresJs || process.env['OVERSYNC_TEST_PREPARED'] === 'off')(
    'goes the ordinary way on a database whose transactions are of another kind',
    async () => {
      const actor = await openScope();
      const peer = await fixture.createPeer();
      await push(peer, actor, whole('INSERT', 0n, 'usual'));
      // One statement after the other runs on the same connection of the pool.
      await fixture.pg.query(`SET default_transaction_isolation='serializable'`);
      try {
        const pushId = await stagePush(peer, actor, whole('UPDATE', 1n, 'other'), { sourceBundleId: 2n });
        expect(await fixture.counting.measure(async () => void (await commitPush(peer, actor, pushId)))).toBeGreaterThan(1);
      } finally {
        await fixture.pg.query('RESET default_transaction_isolation');
      }
      const pushId = await stagePush(peer, actor, whole('UPDATE', 2n, 'usual'), { sourceBundleId: 3n });
      expect(await fixture.counting.measure(async () => void (await commitPush(peer, actor, pushId)))).toBe(1);
    },
  );

  const plain = (op: TestRow['op'], base: bigint): readonly TestRow[] => [
    { table: 'orders', key: { id: ORDERS[0] ?? '' }, op, base, payload: { id: ORDERS[0] ?? '', note: op } },
  ];

  it('is left when the functions are gone, and taken again once a start has made them anew', async () => {
    const names = async () =>
      (await fixture.pg.query(`SELECT oid::regprocedure FROM pg_proc WHERE proname LIKE 'small\\_push\\_%' ORDER BY 1`)).rows;
    const before = await names();
    const actor = await openScope();
    const peer = await fixture.createPeer();
    await push(peer, actor, plain('INSERT', 0n));
    for (const [name] of before) await fixture.pg.run(`DROP FUNCTION ${name ?? ''}`);
    expect(await push(peer, actor, plain('UPDATE', 1n), { sourceBundleId: 2n })).toMatchObject({ bundle_seq: 2n });
    expect(getPushMemory(peer).lacksFunctions).toBe(true);
    const again = await fixture.createPeer();
    expect(await names()).toEqual(before);
    expect(await push(again, actor, plain('UPDATE', 2n), { sourceBundleId: 3n })).toMatchObject({ bundle_seq: 3n });
    expect(getPushMemory(again).lacksFunctions).toBe(false);
  });

  it('notices a column that came between upload and commit', async () => {
    const actor = await openScope();
    const { ctx } = fixture;
    await push(ctx, actor, plain('INSERT', 0n));
    const pushId = await stagePush(ctx, actor, plain('UPDATE', 1n), { sourceBundleId: 2n });
    await fixture.pg.run('ALTER TABLE orders ADD COLUMN tag text DEFAULT $$new$$');
    try {
      expect(await commitPush(ctx, actor, pushId)).toMatchObject({ bundle_seq: 2n });
      const scope = await fixture.pg.query('SELECT scope_pk FROM sync.scope WHERE scope_id = $1', [actor.scopeId]);
      const [row] = await readBundle(fixture.pg, 2n, scope.rows[0]?.[0] ?? '');
      expect(row?.['payload']).toMatchObject({ note: 'UPDATE', tag: 'new' });
    } finally {
      await fixture.pg.run('ALTER TABLE orders DROP COLUMN tag');
      await ctx.refreshCatalog();
    }
  });

  it('takes a chunk that comes twice, and one that goes on where the first ended', async () => {
    const actor = await openScope();
    const { ctx } = fixture;
    const rows = ORDERS.map((id): TestRow => ({ table: 'orders', key: { id }, op: 'INSERT', payload: { id, note: 'plain' } }));
    await push(ctx, actor, plain('INSERT', 0n));
    const all = rows.map((row, index) => (index === 0 ? { ...row, op: 'UPDATE' as const, base: 1n } : row));
    const pushId = requirePushId(await openSession(ctx, actor, all, { sourceBundleId: 2n }));
    const first = { pushId, body: toChunkBody(all.slice(0, 2)) };
    expect(await stagePushChunk(ctx, actor, first)).toMatchObject({ next_expected_row_ordinal: 2 });
    expect(await stagePushChunk(ctx, actor, first)).toMatchObject({ next_expected_row_ordinal: 2 });
    expect(fixture.events.at(-1)).toMatchObject({ name: 'chunkReplayed' });
    await expect(commitPush(ctx, actor, pushId)).rejects.toMatchObject({ code: 'push_commit_invalid' });
    await stagePushChunk(ctx, actor, { pushId, body: toChunkBody(all.slice(2), 2) });
    expect(await commitPush(ctx, actor, pushId)).toMatchObject({ bundle_seq: 2n, row_count: 3 });
  });

  it('leaves kinds of pushes alone by which triggers touch other rows, once it has met them', async () => {
    const actor = await openScope();
    const peer = await fixture.createPeer();
    const audited = (op: TestRow['op'], base: bigint): readonly TestRow[] => [
      { table: 'users', key: { id: 'a' }, op, base, payload: { id: 'a', name: 'audit me' } },
    ];
    await push(peer, actor, plain('INSERT', 0n));
    await push(peer, actor, audited('INSERT', 0n), { sourceBundleId: 2n });
    const pushId = await stagePush(peer, actor, plain('UPDATE', 1n), { sourceBundleId: 3n });
    const staged = getPushMemory(peer).getPush(pushId);
    if (staged === undefined) throw new Error('a small push is remembered');
    expect(getPushMemory(peer).isRefused(staged)).toBe(false);
    await commitPush(peer, actor, pushId);
    const again = await stagePush(peer, actor, audited('INSERT', 0n), { sourceBundleId: 4n });
    const met = getPushMemory(peer).getPush(again);
    expect(met !== undefined && getPushMemory(peer).isRefused(met)).toBe(true);
  });
});
