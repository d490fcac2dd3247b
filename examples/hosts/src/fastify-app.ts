import type { SyncServer } from '@oversync/server';
import { createFastifyPlugin } from '@oversync/server/fastify';
import { fastify, type FastifyInstance } from 'fastify';

export async function createFastifyApp(server: SyncServer): Promise<FastifyInstance> {
  // Watch streams are open for long; without this, `app.close()` would wait for them.
  const app = fastify({ forceCloseConnections: true });
  await app.register(createFastifyPlugin(server), { prefix: '/sync' });
  await app.register(createFastifyPlugin(server.ops), { prefix: '/syncx' });
  app.post('/echo', (request) => request.body);
  return app;
}
