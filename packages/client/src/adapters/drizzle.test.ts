import { eq, gt, relations, sql } from 'drizzle-orm';
import { blob, integer, real, sqliteTable, text } from 'drizzle-orm/sqlite-core';
import type { SqliteRemoteDatabase } from 'drizzle-orm/sqlite-proxy';
import { afterEach, beforeEach, describe, expect, expectTypeOf, test } from 'vitest';

import type { SyncClient } from '../client.ts';
import type { SqliteDriver } from '../ports/sqlite-driver.ts';
import { createDrizzle, sqlParameters } from './drizzle.ts';
import { DRIVERS, captured, openNotes } from './test-notes.ts';

const notes = sqliteTable('notes', {
  id: text('id').primaryKey().notNull(),
  title: text('title').notNull(),
  stars: integer('stars').notNull().default(0),
  score: real('score'),
  data: blob('data', { mode: 'buffer' }),
});
const tags = sqliteTable('tags', { id: text('id').primaryKey().notNull(), noteId: text('note_id').notNull() });
const notesRelations = relations(notes, ({ many }) => ({ tags: many(tags) }));
const tagsRelations = relations(tags, ({ one }) => ({ note: one(notes, { fields: [tags.noteId], references: [notes.id] }) }));
const schema = { notes, tags, notesRelations, tagsRelations };

describe.each(DRIVERS)('Drizzle on $name', ({ open }) => {
  let driver: SqliteDriver & { close(): void };
  let client: SyncClient;
  let db: SqliteRemoteDatabase<typeof schema>;

  beforeEach(async () => {
    driver = open();
    client = await openNotes(driver);
    db = createDrizzle(driver, { schema });
  });
  afterEach(async () => {
    await client.close();
    driver.close();
  });

  const note = (id: string, stars = 1) => ({ id, title: `note ${id}`, stars, score: 2 });

  test('typed queries give objects, and writes are captured', async () => {
    const data = Buffer.from([0, 255]);
    await db.insert(notes).values([{ ...note('a', 3), data }, note('b')]);
    const rows = await db.select().from(notes).where(gt(notes.stars, 2));
    expectTypeOf(rows).toEqualTypeOf<(typeof notes.$inferSelect)[]>();
    expect(rows).toMatchObject([{ id: 'a', title: 'note a', stars: 3, score: 2 }]);
    expect([...(rows[0]?.data ?? [])]).toEqual([0, 255]);
    expect(await db.update(notes).set({ stars: 9 }).where(eq(notes.id, 'b')).returning({ id: notes.id })).toEqual([{ id: 'b' }]);
    await db.delete(notes).where(eq(notes.id, 'a'));
    expect(await captured(driver)).toEqual(['DELETE {"id":"a"}', 'INSERT {"id":"b"}']);
    expect(await driver.all('SELECT typeof(stars), typeof(score) FROM notes')).toEqual([['integer', 'real']]);
  });

  test('one row, no row, raw rows and relations', async () => {
    await db.insert(notes).values(note('a'));
    await db.insert(tags).values({ id: 't', noteId: 'a' });
    expect(await db.select({ id: notes.id }).from(notes).get()).toEqual({ id: 'a' });
    expect(await db.select().from(notes).where(eq(notes.id, 'missing')).get()).toBeUndefined();
    expect(await db.values(sql`SELECT id, stars FROM notes`)).toEqual([['a', 1]]);
    const found = await db.query.notes.findMany({ columns: { id: true }, with: { tags: { columns: { id: true } } } });
    expect(found).toEqual([{ id: 'a', tags: [{ id: 't' }] }]);
    expect(await db.query.notes.findFirst({ where: eq(notes.id, 'missing') })).toBeUndefined();
  });

  test('a transaction commits as one, and a thrown one leaves neither rows nor captured changes', async () => {
    const result = await db.transaction(async (tx) => {
      await tx.insert(tags).values({ id: 't', noteId: 'a' });
      await tx.insert(notes).values(note('a'));
      return 'done';
    });
    expect(result).toBe('done');
    const failed = db.transaction(async (tx) => {
      await tx.delete(tags);
      tx.rollback();
    });
    await expect(failed).rejects.toThrow('Rollback');
    expect(await captured(driver)).toEqual(['INSERT {"id":"t"}', 'INSERT {"id":"a"}']);
    expect(await db.$count(tags)).toBe(1);
  });

  test('a nested transaction is a savepoint', async () => {
    await db.transaction(async (tx) => {
      await tx.insert(notes).values(note('a'));
      const inner = tx.transaction(async (nested) => {
        await nested.insert(notes).values(note('b'));
        throw new Error('inner');
      });
      await expect(inner).rejects.toThrow('inner');
    });
    expect(await captured(driver)).toEqual(['INSERT {"id":"a"}']);
  });

  test('a COMMIT that fails rejects; a batch is one transaction', async () => {
    const orphan = db.transaction((tx) => tx.insert(tags).values({ id: 't', noteId: 'nobody' }));
    await expect(orphan).rejects.toMatchObject({ kind: 'foreign_key' });
    const [, rows] = await db.batch([db.insert(notes).values(note('a')), db.select({ id: notes.id }).from(notes)]);
    expect(rows).toEqual([{ id: 'a' }]);
    await expect(db.batch([db.insert(notes).values(note('b')), db.insert(notes).values(note('b'))])).rejects.toMatchObject({
      kind: 'unique',
    });
    expect(await captured(driver)).toEqual(['INSERT {"id":"a"}']);
  });

  test('a live query runs again after a write of Drizzle', async () => {
    const query = db.select({ id: notes.id }).from(notes).where(gt(notes.stars, 0)).toSQL();
    const arrived = Promise.withResolvers<unknown>();
    const end = client.liveQuery(query.sql, sqlParameters(query.params)).subscribe((rows) => {
      if (rows.length > 0) arrived.resolve(rows);
    });
    await db.insert(notes).values(note('a'));
    expect(await arrived.promise).toEqual([['a']]);
    end();
  });

  test('two transactions and a query at the same time keep apart', async () => {
    const first = db.transaction(async (tx) => {
      await tx.insert(notes).values(note('a'));
      await tx.select().from(notes);
      throw new Error('first');
    });
    const second = db.transaction(async (tx) => {
      await tx.insert(notes).values(note('b'));
    });
    const count = db.$count(notes);
    await expect(first).rejects.toThrow('first');
    await second;
    expect(await count).toBe(1);
    expect(await captured(driver)).toEqual(['INSERT {"id":"b"}']);
  });
});
