import { describe, expect, it } from 'vitest';

import { createTestServer, openAttachedDevice, openDevice } from '../../packages/client/src/engine/test-device.ts';
import type { TestDevice } from '../../packages/client/src/engine/test-device.ts';
import { refuse } from '../../packages/client/src/engine/test-server.ts';
import type { TestServer } from '../../packages/client/src/engine/test-server.ts';
import { hasContracts, loadFixtures } from './fixtures.ts';
import { asArray, asObject, asString } from './json.ts';

interface Scene {
  readonly server: TestServer;
  readonly device: TestDevice;
}

/** Brings a device to the point before the action, and says what the action is. */
type Action = (server: TestServer) => Promise<Scene & { readonly act: () => Promise<unknown> }>;

const ada = (name: string) => ({ table: 'users', id: 'u1', payload: { id: 'u1', name } });

async function attached(server: TestServer): Promise<Scene> {
  return { server, device: await openAttachedDevice(server) };
}

const ACTIONS: Readonly<Record<string, Action>> = {
  incrementalPull: async (server) => {
    const scene = await attached(server);
    server.write([ada('Ada')]);
    return { ...scene, act: () => scene.device.client.pullToStable() };
  },
  snapshotHydrate: async (server) => {
    const scene = await attached(server);
    server.write([ada('Ada')]);
    return { ...scene, act: () => scene.device.client.rebuild() };
  },
  committedReplay: async (server) => {
    const scene = await attached(server);
    scene.device.sql("INSERT INTO users VALUES ('u1', 'Ada')");
    return { ...scene, act: () => scene.device.client.pushPending() };
  },
  conflictRewrite: async (server) => {
    const scene = await attached(server);
    server.write([ada('Ada')]);
    await scene.device.client.pullToStable();
    server.write([ada('Ada L.')]);
    scene.device.sql("UPDATE users SET name = 'Countess' WHERE id = 'u1'");
    return { ...scene, act: () => scene.device.client.pushPending() };
  },
  syncUnion: async (server) => {
    const scene = await attached(server);
    server.write([ada('Ada')]);
    await scene.device.client.pullToStable();
    scene.device.sql("INSERT INTO posts VALUES ('p1', 'u1', 'local')");
    server.write([ada('Ada L.')]);
    return { ...scene, act: () => scene.device.client.sync() };
  },
  successfulDetach: async (server) => {
    const scene = await attached(server);
    server.write([ada('Ada')]);
    await scene.device.client.pullToStable();
    return { ...scene, act: () => scene.device.client.detach() };
  },
  blockedDetach: async (server) => {
    const scene = await attached(server);
    scene.device.sql("INSERT INTO users VALUES ('u1', 'Ada')");
    return { ...scene, act: () => scene.device.client.detach() };
  },
  noopDetach: async (server) => {
    server.write([ada('Ada')]);
    const device = await openDevice(server, { before: "INSERT INTO users VALUES ('mine', 'mine')" });
    server.override('snapshot_session_create', () => refuse(503, 'service_unavailable', {}, { 'Retry-After': '5' }));
    await expect(device.client.attach('user-1')).rejects.toMatchObject({ retryable: true });
    return { server, device, act: () => device.client.detach() };
  },
};

describe.skipIf(!hasContracts).each([...loadFixtures('invalidation/behavior')])('invalidation: $name', ({ content }) => {
  const cases = asArray(asObject(content)['cases']).map(asObject);

  it.each(cases.map((entry) => ({ name: asString(entry['name']), entry })))('[T111] $name', async ({ entry }) => {
    const action = ACTIONS[asString(entry['action'])];
    if (action === undefined) throw new Error('unknown action');
    const { device, act } = await action(createTestServer());
    const remote: string[] = [];
    device.client.onTableChange((change) => remote.push(...(change.origin === 'remote' ? change.tables : [])));
    await act();
    const watched = asArray(entry['watchTables']).map(asString);
    expect(watched.every((table) => remote.includes(table))).toBe(entry['expectedEmission']);
    expect(watched.some((table) => remote.includes(table))).toBe(entry['expectedEmission']);
    await device.client.close();
  });
});

if (!hasContracts) it.skip('needs the fixtures', () => undefined);
