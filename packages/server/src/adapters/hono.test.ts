import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { afterAll, describe, expect, test } from 'vitest';

import { adapterConformance } from '../testing/index.ts';
import type { AdapterUnderTest } from '../testing/index.ts';
import { createHonoHandler } from './hono.ts';
import { createHttpAdapter, createSwitchableHandler } from './test-adapter.ts';

const handler = createSwitchableHandler();
const app = new Hono();
app.all('*', createHonoHandler(handler));

describe('Hono', () => {
  const direct: AdapterUnderTest = {
    send: async (current, path, init) => {
      handler.current = current;
      const duplex: RequestInit & { duplex: 'half' } = { ...init, duplex: 'half' };
      return app.fetch(new Request(`http://host.test${path}`, duplex));
    },
  };
  test.each(adapterConformance)('$name', async ({ run }) => {
    await expect(run(direct)).resolves.toBeUndefined();
  });
});

describe('Hono on @hono/node-server', async () => {
  const { server, port } = await new Promise<{ server: ReturnType<typeof serve>; port: number }>((resolve) => {
    const started = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, (address) =>
      resolve({ server: started, port: address.port }),
    );
  });
  afterAll(() => {
    if ('closeAllConnections' in server) server.closeAllConnections();
    server.close();
  });
  test.each(adapterConformance)('$name', async ({ run }) => {
    await expect(run(createHttpAdapter(handler, `http://127.0.0.1:${String(port)}`))).resolves.toBeUndefined();
  });
});

test('the handler fits an application with variables, below any path', async () => {
  const inner = new Hono<{ Variables: { user: string } }>();
  inner.all('/sync/*', createHonoHandler({ fetch: async (request) => Response.json(new URL(request.url).pathname) }));
  const outer = new Hono().route('/api', inner);
  expect(await (await outer.request('/api/sync/pull')).json()).toBe('/api/sync/pull');
  expect((await outer.request('/api/other')).status).toBe(404);
});
