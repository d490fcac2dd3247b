import { parseJson } from '@oversync/protocol';
import { describe, expect, it } from 'vitest';

import { createTestServer, openDevice } from '../../packages/client/src/engine/test-device.ts';
import { TestServer, text } from '../../packages/client/src/engine/test-server.ts';
import { checkTableContract, parseTableSpecs } from '../../packages/client/src/rules/negotiation.ts';
import { hasContracts, loadFixtures } from './fixtures.ts';
import { asArray, asObject, asString } from './json.ts';
import type { FixtureObject } from './json.ts';

const USERS_ONLY = { tables: [{ tableName: 'users', syncKeyColumnName: 'id' }] };

/** The names the fixture gives to our outcomes. */
const ATTACH_OUTCOMES: Readonly<Record<string, string>> = {
  startedEmpty: 'started_empty',
  seededFromLocal: 'seeded_from_local',
  usedRemoteState: 'used_remote_state',
};

function compareContract(fixture: FixtureObject): FixtureObject {
  const specs = (name: string) => {
    const value = fixture[name];
    return parseTableSpecs(value === undefined ? undefined : parseJson(JSON.stringify(value), { depthMax: 10 }));
  };
  try {
    checkTableContract(specs('localSpecs'), specs('advertised'));
    return { kind: 'match' };
  } catch (error) {
    const { code, details } = asObject(error);
    if (code === 'capabilities_invalid') return { kind: 'invalid' };
    const { serverOnly, clientOnly, keyMismatches } = asObject(details);
    const syncKeyMismatches = asArray(keyMismatches)
      .map(asObject)
      .map(({ table, clientKey, serverKey }) => ({
        qualifiedTable: table,
        clientSyncKeyColumns: [clientKey],
        serverSyncKeyColumns: [serverKey],
      }));
    return { kind: 'mismatch', serverOnlyTables: serverOnly, clientOnlyTables: clientOnly, syncKeyMismatches };
  }
}

function scriptedServer(fixture: FixtureObject): TestServer {
  const server = new TestServer([{ table: 'users', key: 'id' }]);
  const answer = (name: string) => {
    const { status, body } = asObject(fixture[name]);
    return text(Number(status), JSON.stringify(body));
  };
  server.override('capabilities', () => answer('capabilities'), 10);
  server.override('connect', () => answer('connect'), 10);
  const { body } = asObject(fixture['connect'] ?? {});
  if (body !== undefined && asObject(body)['resolution'] === 'remote_authoritative') {
    server.write([{ table: 'users', id: 'adopted', payload: { id: 'adopted', name: 'Adopted' } }], 'oversync-adoption:x');
  }
  return server;
}

async function attach(server: TestServer, hasPendingRows: boolean): Promise<FixtureObject> {
  const before = hasPendingRows ? { before: "INSERT INTO users(id, name) VALUES ('u1', 'Ada')" } : {};
  const device = await openDevice(server, { ...before, options: USERS_ONLY });
  const attached = await device.client.attach('user-1').catch((error: unknown) => ({ status: 'failed', error }) as const);
  const [state] = await device.driver.all('SELECT binding_state, pending_initialization_id FROM _sync_attachment_state');
  const outcome = attached.status === 'connected' ? attached.outcome : null;
  const code = attached.status === 'failed' ? asObject(attached.error)['code'] : null;
  const seconds = attached.status === 'retry_later' ? attached.retryAfterSeconds : null;
  return { status: attached.status, outcome, code, seconds, binding: state?.[0], lease: state?.[1] };
}

describe.skipIf(!hasContracts)('handshake fixtures', () => {
  for (const file of loadFixtures('protocol-handshake')) {
    const { contractCases, cases } = asObject(file.content);

    it.each(asArray(contractCases).map(asObject))(`[T103] ${file.name}: table contract $name`, (fixture) => {
      expect(compareContract(fixture)).toEqual(fixture['expected']);
    });

    it.each(asArray(cases).map(asObject))(`[T25] [T28] ${file.name}: attach $name`, async (fixture) => {
      const server = scriptedServer(fixture);
      const expected = asObject(fixture['expected']);
      const result = await attach(server, asObject(fixture['local'])['hasLocalPendingRows'] === true);
      expect(server.count('connect') > 0).toBe(expected['connectCalled']);
      expect(result['code'] !== 'attach_unsupported').toBe(expected['connectLifecycleSupported']);
      switch (expected['attachKind']) {
        case 'unsupportedCapability':
          expect(result['code']).toBe('attach_unsupported');
          return;
        case 'retryLater':
          expect(result).toMatchObject({ status: 'retry_later', seconds: expected['retryAfterSeconds'] });
          return;
        default:
          expect(expected['attachKind']).toBe('connected');
          expect(result).toMatchObject({
            status: 'connected',
            outcome: ATTACH_OUTCOMES[asString(expected['attachOutcome'])],
            binding: expected['bindingState'],
            lease: expected['pendingInitializationId'],
          });
      }
    });
  }

  it('the connect request says whether rows are pending', async () => {
    const server = createTestServer();
    const device = await openDevice(server, { before: "INSERT INTO users(id, name) VALUES ('u1', 'Ada')" });
    await device.client.attach('user-1');
    expect(server.seen.find((request) => request.operation === 'connect')?.body).toEqual({ has_local_pending_rows: true });
  });
});
