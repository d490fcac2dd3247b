// Runs beside the unpacked tarballs, as a user's plain JavaScript would: imports every entry point and tries one thing of each package.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

const specifiers = JSON.parse(readFileSync(new URL('./specifiers.json', import.meta.url), 'utf8'));
for (const specifier of specifiers) {
  assert.ok(import.meta.resolve(specifier).endsWith('.js'), `${specifier} is compiled JavaScript`);
  const names = Object.keys(await import(specifier));
  assert.ok(names.length > 0, `${specifier} exports something`);
}

const { canonicalJson, parseJson, SyncError } = await import('@oversync/protocol');
assert.equal(canonicalJson(parseJson('{"b":1,"a":"é"}', { depthMax: 10 })), '{"a":"é","b":1}');

const { createSyncServer } = await import('@oversync/server');
assert.throws(
  () => createSyncServer({}),
  (error) => error instanceof SyncError && error.code === 'options_invalid',
);

const { createSyncClient } = await import('@oversync/client');
const { createNodeSqliteDriver } = await import('@oversync/client/node-sqlite');
const driver = createNodeSqliteDriver(':memory:');
await driver.exec('CREATE TABLE notes (id TEXT NOT NULL PRIMARY KEY, body TEXT)');
const client = createSyncClient({
  driver,
  baseUrl: 'http://127.0.0.1:9',
  headers: () => ({}),
  schema: 'business',
  tables: [{ tableName: 'notes', syncKeyColumnName: 'id' }],
});
await client.open();
await driver.run('INSERT INTO notes VALUES (?, ?)', ['a', 'b']);
assert.equal((await client.pendingSyncStatus()).pendingRowCount, 1);
await client.close();
driver.close();

console.log(`Node ${process.versions.node}: ${specifiers.length} entry points work`);
