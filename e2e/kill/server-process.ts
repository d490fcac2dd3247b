/** The server that is killed: the reference server on a fixed port, on a PostgreSQL that stays alive. */
import { useExternalPostgres } from '@oversync/dev-postgres';
import { startReferenceServer } from '@oversync/reference-server-example';

import type { ServerArguments } from './messages.ts';

const { databaseUrl, jwtSecret, port } = JSON.parse(process.argv[2] ?? '') as ServerArguments;
await startReferenceServer({
  postgres: useExternalPostgres(databaseUrl),
  jwtSecret,
  devSignIn: true,
  port,
});
process.send?.('ready');
process.on('disconnect', () => process.exit());
