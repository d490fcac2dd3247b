import { fastify } from 'fastify';
import type { FastifyInstance } from 'fastify';
import { afterAll, describe, expect, test } from 'vitest';

import { adapterConformance } from '../testing/index.ts';
import { createFastifyPlugin } from './fastify.ts';
import { createHttpAdapter, createSwitchableHandler } from './test-adapter.ts';

const apps: FastifyInstance[] = [];
afterAll(async () => {
  await Promise.all(apps.map((app) => (app.server.closeAllConnections(), app.close())));
});

function createApp(): FastifyInstance {
  const app = fastify({ bodyLimit: 10, forceCloseConnections: true });
  apps.push(app);
  return app;
}

describe('Fastify', async () => {
  const handler = createSwitchableHandler();
  const app = createApp();
  await app.register(createFastifyPlugin(handler));
  const url = await app.listen();
  test.each(adapterConformance)('$name', async ({ run }) => {
    await expect(run(createHttpAdapter(handler, url))).resolves.toBeUndefined();
  });
});

test('neither the content type nor the body parsers nor the body limit of the host matter', async () => {
  const app = createApp();
  await app.register(createFastifyPlugin({ fetch: async (request) => Response.json(await request.text()) }), {
    prefix: '/api/sync',
  });
  app.post('/json', (request) => [request.body]);
  const url = await app.listen();
  for (const type of ['application/json', 'text/plain', 'no type at all', '']) {
    const answer = await fetch(`${url}/api/sync/connect`, {
      method: 'POST',
      headers: { 'Content-Type': type },
      body: '{"not json": and longer than the limit',
    });
    expect([answer.status, await answer.json()]).toStrictEqual([200, '{"not json": and longer than the limit']);
  }
  const headers = { 'Content-Type': 'application/json' };
  expect(await (await fetch(`${url}/json`, { method: 'POST', headers, body: '{"a":1}' })).json()).toStrictEqual([{ a: 1 }]);
});

test('headers that hooks of the host have set are sent, and the path arrives whole', async () => {
  const app = createApp();
  app.addHook('onRequest', (_request, reply, done) => {
    void reply.header('Access-Control-Allow-Origin', '*');
    done();
  });
  await app.register(createFastifyPlugin({ fetch: async (request) => Response.json(new URL(request.url).pathname) }), {
    prefix: '/api/sync',
  });
  const url = await app.listen();
  const answer = await fetch(`${url}/api/sync/pull`);
  expect([answer.headers.get('access-control-allow-origin'), await answer.json()]).toStrictEqual(['*', '/api/sync/pull']);
  expect((await fetch(`${url}/api/other`)).status).toBe(404);
});
