/** The reference server as a program of its own: PostgreSQL from npm (or `DATABASE_URL`), the example schema, and sync over HTTP. */
import { join } from 'node:path';

import { loadSecret, startPostgres } from '@oversync/dev-postgres';
import { Command, InvalidArgumentError } from 'commander';

import { startReferenceServer } from './reference-server.ts';

const options = new Command()
  .name('reference-server')
  .description('Serves the example schema for synchronisation.')
  .option('--port <number>', 'port to listen on; the next free one when it is taken', parsePort, 8080)
  .option('--host <address>', 'address to listen on', '127.0.0.1')
  .option('--data <folder>', 'folder for the database and the token secret', '.oversync')
  .option('--dev-sign-in', 'serve POST /dummy-signin, which gives a token to anybody', false)
  .parse()
  .opts<{ port: number; host: string; data: string; devSignIn: boolean }>();

const postgres = await startPostgres({ dataDir: join(options.data, 'postgres'), log: (line) => console.log(line) });
const jwtSecret = process.env['JWT_SECRET'] ?? (await loadSecret(join(options.data, 'jwt-secret')));
const server = await startReferenceServer({
  postgres,
  jwtSecret,
  devSignIn: options.devSignIn,
  port: options.port,
  host: options.host,
}).catch(async (error: unknown) => {
  await postgres.stop();
  throw error;
});
console.log(`listening on ${server.url}${options.devSignIn ? ', development sign-in is ON' : ''}`);

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    void stop();
  });
}

async function stop(): Promise<void> {
  await server.close();
  await postgres.stop();
}

function parsePort(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new InvalidArgumentError('a port is a number from 0 to 65535');
  return port;
}
