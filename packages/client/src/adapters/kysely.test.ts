import { Kysely, sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, expectTypeOf, test } from 'vitest';

import type { SyncClient } from '../client.ts';
import type { SqliteDriver } from '../ports/sqlite-driver.ts';
import { createKyselyDialect, sqlParameters } from './kysely.ts';
import { DRIVERS, captured, openNotes } from './test-notes.ts';

interface Schema {
  notes: { id: string; title: string; stars: number; score: number | null; data: Uint8Array | null };
  tags: { id: string; note_id: string };
}

describe.each(DRIVERS)('Kysely on $name', ({ open }) => {
  let driver: SqliteDriver & { close(): void };
  let client: SyncClient;
  let db: Kysely<Schema>;

  beforeEach(async () => {
    driver = open();
    client = await openNotes(driver);
    db = new Kysely<Schema>({ dialect: createKyselyDialect(driver) });
  });
  afterEach(async () => {
    await db.destroy();
    await client.close();
    driver.close();
  });

  const note = (id: string, stars = 1): Schema['notes'] => ({ id, title: `note ${id}`, stars, score: 2, data: null });

  test('typed queries give objects with every kind of value, and writes are captured', async () => {
    const data = new Uint8Array([0, 255]);
    const inserted = await db
      .insertInto('notes')
      .values([{ ...note('a', 3), data }, note('b')])
      .executeTakeFirstOrThrow();
    expect(inserted.numInsertedOrUpdatedRows).toBe(2n);
    const rows = await db.selectFrom('notes').selectAll().where('stars', '>', 2).execute();
    expectTypeOf(rows).toEqualTypeOf<Schema['notes'][]>();
    expect(rows).toEqual([{ id: 'a', title: 'note a', stars: 3, score: 2, data }]);
    const updated = await db.updateTable('notes').set({ stars: 9 }).where('id', '=', 'b').returning(['id', 'stars']).execute();
    expect(updated).toEqual([{ id: 'b', stars: 9 }]);
    expect((await db.deleteFrom('notes').where('id', '=', 'a').executeTakeFirstOrThrow()).numDeletedRows).toBe(1n);
    expect(await captured(driver)).toEqual(['DELETE {"id":"a"}', 'INSERT {"id":"b"}']);
    expect(await driver.all('SELECT typeof(stars), typeof(score) FROM notes')).toEqual([['integer', 'real']]);
  });

  test('integers beyond 2^53 are read as bigint, and raw queries name their columns', async () => {
    const { rows } = await sql<{ big: bigint; small: number }>`SELECT ${2n ** 60n} AS big, 7 AS small`.execute(db);
    expect(rows).toEqual([{ big: 2n ** 60n, small: 7 }]);
  });

  test('a transaction commits as one, and a thrown one leaves neither rows nor captured changes', async () => {
    await db.transaction().execute(async (trx) => {
      await trx.insertInto('tags').values({ id: 't', note_id: 'a' }).execute();
      await trx.insertInto('notes').values(note('a')).execute();
    });
    const failed = db.transaction().execute(async (trx) => {
      await trx.deleteFrom('tags').execute();
      await trx.insertInto('notes').values(note('b')).execute();
      throw new Error('mine');
    });
    await expect(failed).rejects.toThrow('mine');
    expect(await captured(driver)).toEqual(['INSERT {"id":"t"}', 'INSERT {"id":"a"}']);
    expect(await db.selectFrom('tags').select('id').execute()).toEqual([{ id: 't' }]);
  });

  test('a COMMIT that fails rejects, and the next query works', async () => {
    const orphan = db.transaction().execute((trx) => trx.insertInto('tags').values({ id: 't', note_id: 'nobody' }).execute());
    await expect(orphan).rejects.toMatchObject({ kind: 'foreign_key' });
    expect(await db.selectFrom('tags').selectAll().execute()).toEqual([]);
  });

  test('savepoints of a controlled transaction roll a part back', async () => {
    const trx = await db.startTransaction().execute();
    await trx.insertInto('notes').values(note('a')).execute();
    const point = await trx.savepoint('part').execute();
    await point.insertInto('notes').values(note('b')).execute();
    await (await point.rollbackToSavepoint('part').execute()).releaseSavepoint('part').execute();
    await trx.commit().execute();
    expect(await captured(driver)).toEqual(['INSERT {"id":"a"}']);
  });

  test('a live query runs again after a write of Kysely, once per transaction', async () => {
    const query = db.selectFrom('notes').select(['id', 'stars']).where('stars', '>=', 1).orderBy('id').compile();
    const results: string[] = [];
    const arrived = Promise.withResolvers<void>();
    const end = client.liveQuery(query.sql, sqlParameters(query)).subscribe((rows) => {
      results.push(rows.map(([id]) => String(id)).join());
      if (results.at(-1) === 'a,b') arrived.resolve();
    });
    await db.transaction().execute(async (trx) => {
      await trx.insertInto('notes').values(note('a')).execute();
      await trx.insertInto('notes').values(note('b')).execute();
    });
    await arrived.promise;
    end();
    expect(results.filter((result) => result !== '')).toEqual(['a,b']);
  });

  test('a value that SQLite cannot hold is refused before anything runs', async () => {
    const wrong: unknown = new Date(0);
    const failed = sql`INSERT INTO notes(id, title) VALUES ('a', ${wrong})`.execute(db);
    await expect(failed).rejects.toThrow(TypeError);
    expect(await captured(driver)).toEqual([]);
  });
});
