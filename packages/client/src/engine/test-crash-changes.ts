import { isSyncError } from '@oversync/protocol';

import type { SyncClient } from '../client.ts';
import type { TableConfig } from '../rules/local-schema.ts';
import { releaseTablesForMigration } from './schema-upgrade.ts';
import { COMBINATIONS, failing, insert, inStep, label, outboxUsers, user, withClient, withOutbox } from './test-crash-steps.ts';
import type { CrashScenario } from './test-crash-steps.ts';
import type { CrashWorld } from './test-crash-world.ts';

/** Writes behind the back of the client: no trigger notices. */
const corrupted = (sql: string): string =>
  `PRAGMA foreign_keys = OFF; BEGIN; UPDATE _sync_apply_state SET apply_mode = 1; ${sql};
  UPDATE _sync_apply_state SET apply_mode = 0; COMMIT; PRAGMA foreign_keys = ON`;

const DAMAGE = `UPDATE users SET name = 'damaged' WHERE id = 'a'; DELETE FROM users WHERE id = 'b'; INSERT INTO users VALUES ('e', 'extra');
  UPDATE posts SET user_id = 'a', body = 'damaged' WHERE id = 'p'; UPDATE _sync_row_state SET row_version = 77 WHERE key_json LIKE '%"c"%';
  INSERT INTO _sync_row_state(schema_name, table_name, key_json, row_version) VALUES ('main', 'users', '{"id":"gone"}', 1)`;

async function inStepVerifiably(world: CrashWorld, damage: string, edits = ''): Promise<void> {
  world.server.features = { ...world.server.features, range_verification: true };
  world.server.write(['c', 'd', 'f'].map((id) => user(id, id)));
  await inStep(world, () => Promise.resolve(world.sql(`${corrupted(damage)}; ${edits}`)));
}

export const REPAIRS: readonly CrashScenario[] = [
  {
    name: 'repair of rows that differ',
    prepare: (world) => inStepVerifiably(world, DAMAGE),
    run: (client) => client.repair(),
    goOn: async (client, world) => {
      await client.open();
      await client.attach(world.userId);
      await client.repair();
    },
    users: ['a=a', 'b=b', 'c=c', 'd=d', 'f=f'],
    alsoHolds: { sql: 'SELECT count(*) FROM posts WHERE body IS NULL', texts: ['1'] },
  },
  {
    name: 'repair beside rows that are not sent yet',
    prepare: (world) => inStepVerifiably(world, DAMAGE, `${insert(['x', 'new'])} UPDATE users SET name = 'mine' WHERE id = 'd'`),
    run: (client) => client.repair(),
    goOn: async (client, world) => {
      await client.open();
      await client.attach(world.userId);
      await client.repair();
    },
    users: ['a=a', 'b=b', 'c=c', 'd=mine', 'f=f', 'x=new'],
    alsoHolds: { sql: 'SELECT count(*) FROM posts WHERE body IS NULL', texts: ['1'] },
  },
  {
    name: 'verification of rows that are right',
    prepare: (world) => inStepVerifiably(world, 'SELECT 1'),
    run: (client) => client.verify(),
    users: ['a=a', 'b=b', 'c=c', 'd=d', 'f=f'],
  },
];

/** Opens and brings into step what a new version of the application has found. */
async function start(client: SyncClient, world: CrashWorld): Promise<void> {
  await client.open();
  await client.attach(world.userId);
  try {
    await synced(client);
  } catch (error) {
    if (!isSyncError(error) || error.recovery !== 'rebuild') throw error;
    await client.rebuild();
  }
}

/** Rows of an own bundle that lack a column are asked for twice. */
async function synced(client: SyncClient): Promise<void> {
  try {
    await client.sync();
  } catch (error) {
    if (!isSyncError(error) || error.details['reason'] !== 'payload_column_missing') throw error;
    await client.sync();
  }
}

/** Server and device have got a column, and somebody has written into it. */
function addCity(world: CrashWorld): void {
  world.server.addColumns('users', { city: 'unknown' });
  world.server.write([{ table: 'users', id: 'a', payload: { id: 'a', name: 'a', city: 'Rome' } }]);
  world.sql("ALTER TABLE users ADD COLUMN city TEXT DEFAULT 'local default'");
}

const TABLES: readonly TableConfig[] = [
  { tableName: 'users', syncKeyColumnName: 'id' },
  {
    tableName: 'posts',
    syncKeyColumnName: 'id',
    upgradeRow: ({ values }) => ({
      id: values['id'] ?? null,
      user_id: values['user_id'] ?? null,
      content: values['body'] ?? null,
    }),
  },
];

/** A post whose value is kept in the quarantine alone, and a column with another name. */
function renameBody(world: CrashWorld): void {
  world.sql(`INSERT INTO _oversync_quarantine(schema_name, table_name, key_json, op, base_row_version, payload, origin, code, shows, attempts)
    VALUES ('main', 'posts', '{"id":"q"}', 'INSERT', 0, '{"id":"q","user_id":"b","body":"hello"}', 'pull', 'unique_local', 'server', 1);
    ALTER TABLE posts RENAME COLUMN body TO content`);
  world.server.write([{ table: 'posts', id: 'p', payload: { id: 'p', user_id: 'b', content: 'from the server' } }]);
  world.options = { tables: TABLES };
}

export const UPGRADES: readonly CrashScenario[] = [
  ...COMBINATIONS.filter(({ alsoDirty }) => alsoDirty).map(({ outbox, alsoDirty }): CrashScenario => ({
    name: `new version with one more column: ${label(outbox, alsoDirty)}`,
    fromTheStart: true,
    prepare: async (world) => {
      await inStep(world, (client) => withOutbox(world, client, outbox, alsoDirty));
      addCity(world);
    },
    run: start,
    users: outboxUsers(outbox, alsoDirty),
    alsoHolds: { sql: "SELECT city FROM users WHERE id = 'a'", texts: ['Rome'] },
  })),
  {
    name: 'new version with one more column, after a first push whose rows were not fetched',
    fromTheStart: true,
    prepare: async (world) => {
      world.server.isInitialized = true;
      world.server.effect = (row) => (row['name'] === 'c' ? { ...row, name: 'changed by the server' } : row);
      await withClient(world, async (client) => {
        await client.attach(world.userId);
        world.sql(insert(['b', 'b'], ['c', 'c']));
        world.loseRequest('committed_rows');
        await failing(client.pushPending());
      });
      addCity(world);
    },
    run: start,
    users: ['a=a', 'b=b', 'c=changed by the server'],
    alsoHolds: { sql: "SELECT city FROM users WHERE id = 'a'", texts: ['Rome'] },
  },
  {
    name: 'new version that renames a column, with a row that only the quarantine has',
    fromTheStart: true,
    prepare: async (world) => {
      await inStep(world);
      renameBody(world);
    },
    run: async (client, world) => {
      await start(client, world);
      await client.quarantine.retry('all');
      await client.sync();
    },
    goOn: async (client, world) => {
      await start(client, world);
      await client.quarantine.retry('all');
    },
    users: ['a=a', 'b=b'],
    alsoHolds: { sql: "SELECT id || '=' || content FROM posts ORDER BY id", texts: ['p=from the server', 'q=hello'] },
  },
  {
    name: 'new version that has dropped a column, with rows that nobody captured',
    fromTheStart: true,
    prepare: async (world) => {
      await inStep(world, () => Promise.resolve(world.sql("UPDATE posts SET body = 'edited' WHERE id = 'p'")));
      await releaseTablesForMigration({ exec: (text) => Promise.resolve(world.sql(text)) }, ['posts']);
      world.sql("ALTER TABLE posts DROP COLUMN body; INSERT INTO posts(id, user_id) VALUES ('q', 'a')");
    },
    run: start,
    users: ['a=a', 'b=b'],
    alsoHolds: { sql: 'SELECT id FROM posts ORDER BY id', texts: ['p', 'q'] },
  },
  {
    name: 'new version with one more table, and rows in it',
    fromTheStart: true,
    prepare: async (world) => {
      await inStep(world);
      world.options = { tables: TABLES.slice(0, 1) };
      await withClient(world, () =>
        Promise.resolve(
          world.sql(`${insert(['x', 'new'])} INSERT INTO posts(id, user_id, body) VALUES ('q', 'x', 'not captured')`),
        ),
      );
      world.options = {};
    },
    run: start,
    users: ['a=a', 'b=b', 'x=new'],
    alsoHolds: { sql: 'SELECT id FROM posts ORDER BY id', texts: ['p', 'q'] },
  },
];
