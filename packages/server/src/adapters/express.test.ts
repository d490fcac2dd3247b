import express from 'express';
import type { ErrorRequestHandler } from 'express';
import { afterAll, describe, expect, test } from 'vitest';

import { adapterConformance } from '../testing/index.ts';
import { createExpressHandler } from './express.ts';
import { createHttpAdapter, createSwitchableHandler, listen } from './test-adapter.ts';

const closers: (() => void)[] = [];
afterAll(() => closers.forEach((close) => close()));

async function serve(app: express.Express): Promise<string> {
  const { url, close } = await listen(app);
  closers.push(close);
  return url;
}

describe('Express', async () => {
  const handler = createSwitchableHandler();
  const app = express();
  app.use(createExpressHandler(handler));
  const url = await serve(app);
  test.each(adapterConformance)('$name', async ({ run }) => {
    await expect(run(createHttpAdapter(handler, url))).resolves.toBeUndefined();
  });
});

const seesPath = { fetch: async (request: Request) => Response.json(new URL(request.url).pathname) };

test('the whole path arrives wherever the handler is mounted', async () => {
  const app = express();
  const router = express.Router();
  router.use('/sync', createExpressHandler(seesPath));
  app.use('/api/v1', router);
  const url = await serve(app);
  expect(await (await fetch(`${url}/api/v1/sync/pull?after=1`)).json()).toBe('/api/v1/sync/pull');
  expect((await fetch(`${url}/api/v1/other`)).status).toBe(404);
});

test('a body parser in the way is an error of the application, not an empty body', async () => {
  const app = express();
  app.use(express.json());
  app.use('/sync', createExpressHandler(seesPath));
  const report: ErrorRequestHandler = (error, _req, res, _next) => {
    res.status(500).json(error instanceof Error ? error.message : '');
  };
  app.use(report);
  const url = await serve(app);
  const headers = { 'Content-Type': 'application/json' };
  const parsed = await fetch(`${url}/sync/connect`, { method: 'POST', headers, body: '{}' });
  expect([parsed.status, await parsed.json()]).toStrictEqual([500, expect.stringContaining('before any body parser')]);
  expect(await (await fetch(`${url}/sync/pull`)).json()).toBe('/sync/pull');
});
