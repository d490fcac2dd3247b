/** The server of a benchmark in a process of its own, so that its memory is its own and both cores are used. */
import { useExternalPostgres } from '@oversync/dev-postgres';
import { startReferenceServer } from '@oversync/reference-server-example';

import { serveParent } from './ipc.ts';

const [databaseUrl, jwtSecret] = process.argv.slice(2);
if (databaseUrl === undefined || jwtSecret === undefined) throw new Error('usage: server-process <database URL> <secret>');

const server = await startReferenceServer({
  postgres: useExternalPostgres(databaseUrl),
  jwtSecret,
  devSignIn: true,
  port: 0,
});

serveParent({
  url: () => Promise.resolve(server.url),
  stop: () => server.close(),
});
