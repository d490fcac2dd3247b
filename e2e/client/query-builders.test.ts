import { createSyncClient, defineTables } from '@oversync/client';
import type { SyncClient } from '@oversync/client';
import { createBetterSqlite3Driver } from '@oversync/client/better-sqlite3';
import { createDrizzle } from '@oversync/client/drizzle';
import { createKyselyDialect, sqlParameters } from '@oversync/client/kysely';
import { createNodeSqliteDriver } from '@oversync/client/node-sqlite';
import { asc, eq } from 'drizzle-orm';
import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core';
import { Kysely } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { TestDriver } from './driver-kinds.ts';
import { DEVICE_SCHEMA, openWorld } from './world.ts';
import type { World } from './world.ts';

/** Rows as a resolver sees them. */
interface UserRow {
  id: string;
  name: string;
  age: bigint | null;
}

/** Rows as Kysely reads and writes them. */
interface KyselySchema {
  users: { id: string; name: string; age: number | null };
}

const users = sqliteTable('users', { id: text('id').primaryKey().notNull(), name: text('name').notNull(), age: integer('age') });

const tables = defineTables<{ users: UserRow; posts: { id: Uint8Array; user_id: string } }>({
  users: {
    key: 'id',
    captureBase: true,
    resolver: ({ local, server }) => {
      if (local === null || server === null) return { kind: 'acceptServer' };
      const ages = [local.age ?? 0n, server.age ?? 0n] as const;
      return { kind: 'keepMerged', row: { ...local, age: ages[0] > ages[1] ? ages[0] : ages[1] } };
    },
  },
  posts: { key: 'id' },
});

let world: World;
const opened: (() => Promise<void>)[] = [];

beforeAll(async () => {
  world = await openWorld();
});
afterAll(async () => {
  for (const close of opened) await close();
  await world.close();
});

async function connect(driver: TestDriver, user: string): Promise<SyncClient<'users' | 'posts'>> {
  await driver.exec(DEVICE_SCHEMA);
  const client = createSyncClient({
    driver,
    baseUrl: world.url,
    headers: () => ({ Authorization: user }),
    schema: 'business',
    tables,
  });
  opened.push(async () => {
    await client.close();
    driver.close();
  });
  await client.open();
  await client.attach(user);
  return client;
}

describe('query builders over the database of a client', () => {
  it('[T111] writes of Kysely reach the server, and a live query of another device that uses Drizzle', async () => {
    const first = createNodeSqliteDriver(':memory:');
    const second = createBetterSqlite3Driver(':memory:');
    const [here, there] = [await connect(first, 'kysely'), await connect(second, 'kysely')];
    const kysely = new Kysely<KyselySchema>({ dialect: createKyselyDialect(first) });
    const drizzle = createDrizzle(second);

    const query = drizzle.select({ name: users.name }).from(users).orderBy(asc(users.name)).toSQL();
    const arrived = Promise.withResolvers<unknown>();
    const end = there.liveQuery(query.sql, sqlParameters({ parameters: query.params })).subscribe((rows) => {
      if (rows.length > 0) arrived.resolve(rows);
    });
    await kysely.transaction().execute(async (trx) => {
      await trx.insertInto('users').values({ id: 'u1', name: 'Ada', age: 36 }).execute();
      await trx.insertInto('users').values({ id: 'u2', name: 'Bob', age: null }).execute();
    });
    const undone = kysely.transaction().execute(async (trx) => {
      await trx.deleteFrom('users').execute();
      throw new Error('changed my mind');
    });
    await expect(undone).rejects.toThrow('changed my mind');
    expect(await here.sync()).toMatchObject({ push: { bundles: [{ rowCount: 2 }] } });
    await there.sync();
    expect(await arrived.promise).toEqual([['Ada'], ['Bob']]);
    end();

    await kysely.updateTable('users').set({ name: 'Ada L.', age: 37 }).where('id', '=', 'u1').execute();
    await drizzle.update(users).set({ name: 'Countess', age: 35 }).where(eq(users.id, 'u1'));
    await here.sync();
    await there.sync();
    await here.sync();
    const merged = { id: 'u1', name: 'Countess', age: 37 };
    expect(await drizzle.select().from(users).where(eq(users.id, 'u1'))).toEqual([merged]);
    expect(await kysely.selectFrom('users').selectAll().where('id', '=', 'u1').execute()).toEqual([merged]);
  });
});
