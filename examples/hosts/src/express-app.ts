import type { SyncServer } from '@oversync/server';
import { createExpressHandler } from '@oversync/server/express';
import express, { type Express } from 'express';

export function createExpressApp(server: SyncServer): Express {
  const app = express();
  app.use('/sync', createExpressHandler(server));
  app.use('/syncx', createExpressHandler(server.ops));
  // Body parsers and compression come after: the sync handler does both itself.
  app.use(express.json());
  app.post('/echo', (request, response) => void response.json(request.body));
  return app;
}
