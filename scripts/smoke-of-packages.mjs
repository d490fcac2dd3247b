// Runs beside the unpacked tarballs, as a user's plain JavaScript would: imports every entry point and tries one thing of each package.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

const specifiers = JSON.parse(readFileSync(new URL('./specifiers.json', import.meta.url), 'utf8'));
for (const specifier of specifiers) {
  assert.ok(import.meta.resolve(specifier).endsWith('.js'), `${specifier} is compiled JavaScript`);
  const names = Object.keys(await import(specifier));
  assert.ok(names.length > 0, `${specifier} exports something`);
  console.log(`${specifier}: ${names.length} exports`);
}

const { canonicalJson, parseJson, SyncError } = await import('@oversync/protocol');
assert.equal(canonicalJson(parseJson('{"b":1,"a":"é"}')), '{"a":"é","b":1}');
assert.equal(typeof (await import('@oversync/client')).createSyncClient, 'function');
const { createSyncServer } = await import('@oversync/server');
assert.throws(
  () => createSyncServer({}),
  (error) => error instanceof SyncError && error.code === 'options_invalid',
);
