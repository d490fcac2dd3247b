import { useExternalPostgres } from '@oversync/dev-postgres';
import { createTestDatabase, type TestDatabase } from '@oversync/dev-postgres/testing';
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { type ReferenceServer, startReferenceServer } from './reference-server.ts';
import { createTokens } from './tokens.ts';

const SECRET = 'a secret of this test only';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});

afterAll(async () => {
  await database.drop();
});

function start(options: { readonly devSignIn?: boolean; readonly port?: number } = {}): Promise<ReferenceServer> {
  const postgres = useExternalPostgres(database.url);
  return startReferenceServer({ postgres, jwtSecret: SECRET, devSignIn: options.devSignIn ?? false, port: options.port ?? 0 });
}

function getCapabilities(url: string, token: string): Promise<Response> {
  return fetch(`${url}/sync/capabilities`, { headers: { Authorization: `Bearer ${token}`, 'Oversync-Source-ID': 'device' } });
}

function signIn(url: string, body: unknown): Promise<Response> {
  return fetch(`${url}/dummy-signin`, { method: 'POST', body: JSON.stringify(body) });
}

describe('the reference server', () => {
  it('serves sync to a token of its own secret and to no other', async () => {
    const server = await start({ devSignIn: true });
    try {
      const { token } = (await (await signIn(server.url, { user: 'ada', password: 'x' })).json()) as { token: string };
      const answer = await getCapabilities(server.url, token);
      expect(answer.status).toBe(200);
      expect(await answer.json()).toMatchObject({ registered_tables: ['business.places'] });

      const foreign = await createTokens('another secret').sign('ada');
      const unsigned = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${token.split('.')[1]}.`;
      for (const bad of ['', 'x', foreign, unsigned]) expect((await getCapabilities(server.url, bad)).status).toBe(401);
    } finally {
      await server.close();
    }
  });

  it('[S6] gives tokens away only with development sign-in, and only to a user with a name and a password', async () => {
    const closed = await start();
    expect((await signIn(closed.url, { user: 'ada', password: 'x' })).status).toBe(404);
    await closed.close();

    const open = await start({ devSignIn: true });
    for (const body of [
      { user: 'ada' },
      { user: ' ', password: 'x' },
      { user: 'ada', password: '' },
      { user: 1, password: 'x' },
      'x',
    ]) {
      expect((await signIn(open.url, body)).status).toBe(400);
    }
    expect((await fetch(`${open.url}/dummy-signin`)).status).toBe(405);
    await open.close();
  });

  it('takes the next free port when the wanted one is taken, answers health without a token, and closes twice', async () => {
    const blocker = createServer();
    const port = await listen(blocker);
    const server = await start({ port });
    expect(server.port).toBeGreaterThan(port);
    expect((await fetch(`${server.url}/syncx/health`)).status).toBe(200);
    expect((await fetch(`${server.url}/elsewhere`)).status).toBe(404);
    await Promise.all([server.close(), server.close()]);
    await expect(fetch(`${server.url}/syncx/health`)).rejects.toThrow(TypeError);
    blocker.close();
  });
});

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
