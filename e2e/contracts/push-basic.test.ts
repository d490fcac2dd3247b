import { RowHasher, committedRowText } from '@oversync/protocol';
import { describe, expect, it } from 'vitest';

import { createTestServer, openAttachedDevice } from '../../packages/client/src/engine/test-device.ts';
import type { TestDevice } from '../../packages/client/src/engine/test-device.ts';
import { text } from '../../packages/client/src/engine/test-server.ts';
import type { TestServer } from '../../packages/client/src/engine/test-server.ts';
import { hasContracts, loadFixtures } from './fixtures.ts';
import { asArray, asObject, asString } from './json.ts';
import type { FixtureObject } from './json.ts';
import { readFacts } from './runner/state.ts';

/** What the fixture writes where the real source, request hash and bundle hash have to stand. */
const SOURCE = '"source-fixture"';
const REQUEST_HASH = 'a'.repeat(64);
const BUNDLE_HASH = '"fixture-hash"';

/** Answers of the fixture, by the operation they answer. */
const ANSWERS = [
  ['push_session_create', 'pushSessionCreateResponse', 200],
  ['push_session_chunk', 'pushChunkResponse', 200],
  ['push_session_commit', 'pushCommitResponse', 200],
  ['push_session_commit', 'pushConflictResponse', 409],
  ['committed_rows', 'committedBundleRowsResponse', 200],
] as const;

function bundleHash(fixture: FixtureObject): string {
  const page = fixture['committedBundleRowsResponse'];
  if (page === undefined) return '';
  const hasher = new RowHasher();
  asArray(asObject(page)['rows'])
    .map(asObject)
    .forEach((row, ordinal) => {
      const [key, payload] = [JSON.stringify(row['key']), JSON.stringify(row['payload'])];
      const identity = { schema: asString(row['schema']), table: asString(row['table']), key, payload };
      hasher.addRow(committedRowText({ ...identity, op: 'INSERT', row_version: BigInt(Number(row['row_version'])) }, ordinal));
    });
  return hasher.digestHex();
}

function playFixture(server: TestServer, fixture: FixtureObject, sourceId: string): void {
  let requestHash = '';
  const spell = (body: unknown): string =>
    JSON.stringify(body)
      .replaceAll(SOURCE, JSON.stringify(sourceId))
      .replaceAll(REQUEST_HASH, requestHash)
      .replaceAll(BUNDLE_HASH, JSON.stringify(bundleHash(fixture)));
  for (const [operation, member, status] of ANSWERS) {
    const body = fixture[member];
    if (body === undefined) continue;
    server.override(operation, (request) => {
      if (operation === 'push_session_create') requestHash = asString(asObject(request.body)['canonical_request_hash']);
      return text(status, spell(body));
    });
  }
}

/** The write that leads to the push: named by the fixture, else the one that gives the chunk it expects. */
function localWrites(fixture: FixtureObject): string {
  const { localWrite, pushChunkRequest } = fixture;
  if (localWrite !== undefined) return asString(asObject(localWrite)['sql']);
  const rows = pushChunkRequest === undefined ? [] : asArray(asObject(pushChunkRequest)['rows']).map(asObject);
  if (rows.length === 0) return "INSERT INTO users(id, name) VALUES('user-1', 'Ada')";
  return rows.map(({ table, payload }) => insertOf(asString(table), asObject(payload))).join(';');
}

function insertOf(table: string, payload: FixtureObject): string {
  const values = Object.values(payload).map((value) => `'${asString(value).replaceAll("'", "''")}'`);
  return `INSERT INTO ${table}(${Object.keys(payload).join(', ')}) VALUES(${values.join(', ')})`;
}

async function rowState(device: TestDevice, expected: FixtureObject): Promise<FixtureObject> {
  const keyJson = JSON.stringify(expected['key']);
  const sql = 'SELECT row_version, deleted FROM _sync_row_state WHERE table_name = ? AND key_json = ?';
  const [row] = await device.driver.all(sql, [asString(expected['table']), keyJson]);
  return { table: expected['table'], key: expected['key'], rowVersion: Number(row?.[0]), deleted: Number(row?.[1]) === 1 };
}

describe.skipIf(!hasContracts)('[T48] [T51] [T60] push fixtures', () => {
  for (const file of loadFixtures('push')) {
    it.each(asArray(asObject(file.content)['cases']).map(asObject))(`${file.name}: $name`, async (fixture) => {
      const server = createTestServer();
      const device = await openAttachedDevice(server);
      device.sql(localWrites(fixture));
      playFixture(server, fixture, (await device.client.sourceInfo()).currentSourceId);
      const { error, rowState: expectedRow, ...state } = asObject(fixture['expectedFinalState']);
      const pushed = device.client.pushPending();
      if (error === undefined) await pushed;
      else await expect(pushed).rejects.toMatchObject({ code: error });
      expect(readFacts(device.driver.database, state, '')).toEqual(state);
      if (expectedRow !== undefined) expect(await rowState(device, asObject(expectedRow))).toEqual(expectedRow);
      if (fixture['pushChunkRequest'] === undefined) return;
      const chunk = server.seen.find((request) => request.operation === 'push_session_chunk');
      expect(chunk?.body).toEqual(fixture['pushChunkRequest']);
    });
  }
});
