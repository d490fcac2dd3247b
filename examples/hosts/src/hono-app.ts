import type { SyncServer } from '@oversync/server';
import { createHonoHandler } from '@oversync/server/hono';
import { nodeGzip } from '@oversync/server/node';
import { Hono } from 'hono';

/** On Node; elsewhere leave `nodeGzip` away. */
export function createHonoApp(server: SyncServer): Hono {
  const app = new Hono();
  app.all('/sync/*', createHonoHandler(server, { gzip: nodeGzip }));
  app.all('/syncx/*', createHonoHandler(server.ops, { gzip: nodeGzip }));
  app.post('/echo', async (context) => context.json(await context.req.json()));
  return app;
}
