/** The reference server as a program of its own: PostgreSQL from npm (or `DATABASE_URL`), the business tables, and sync over HTTP. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { loadSecret, startPostgres } from '@oversync/dev-postgres';
import { Command, InvalidArgumentError, Option } from 'commander';

import { formatFailure } from './format-failure.ts';
import { startReferenceServer } from './reference-server.ts';
import { BUSINESS_SCHEMAS, type BusinessSchemaName } from './schemas.ts';

interface CliOptions {
  readonly port: number;
  readonly host: string;
  readonly data: string;
  readonly schema: BusinessSchemaName;
  readonly dev: boolean;
  readonly testRoutes: boolean;
}

const options = new Command()
  .name('npm run reference-server --')
  .description(
    'Serves the business tables for synchronisation. JWT_SECRET signs the tokens; DATABASE_URL names a PostgreSQL of your own.',
  )
  .option('--port <number>', 'port to listen on; the next free one when it is taken', parsePort, 8080)
  .option('--host <address>', 'address to listen on', '127.0.0.1')
  .option('--data <folder>', 'folder for the database and the token secret', '.oversync')
  .addOption(
    new Option('--schema <name>', 'which business tables')
      .choices(Object.keys(BUSINESS_SCHEMAS))
      .default('rich' satisfies BusinessSchemaName),
  )
  .option(
    '--dev',
    'for development: POST /dummy-signin gives a token to anybody, pages of every origin may call, JWT_SECRET is made',
    false,
  )
  .option('--test-routes', 'serve /test/…, with which anybody can empty the server', false)
  .parse()
  .opts<CliOptions>();

const jwtSecret = await findSecret();
if (jwtSecret === undefined) {
  console.error('JWT_SECRET is not set. Set it, or start with --dev to have one made.');
  process.exit(1);
}
const postgres = await startPostgres({ dataDir: join(options.data, 'postgres'), log: (line) => console.log(line) }).catch(giveUp);
const server = await startReferenceServer({
  postgres,
  jwtSecret,
  devSignIn: options.dev,
  allowsAnyOrigin: options.dev,
  testRoutes: options.testRoutes,
  schema: options.schema,
  port: options.port,
  host: options.host,
}).catch(async (error: unknown) => {
  await postgres.stop();
  return giveUp(error);
});
if (options.dev) console.log('development sign-in is ON, and every origin may call');
if (options.testRoutes) console.log('test routes are ON');
console.log(`listening on ${server.url}`);

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    void stop();
  });
}

function giveUp(error: unknown): never {
  console.error(formatFailure('the reference server', error, process.env['DATABASE_URL'] !== undefined));
  process.exit(1);
}

async function stop(): Promise<void> {
  await server.close();
  await postgres.stop();
}

/** A secret of the environment, or, for development only, one that is made and kept in the data folder. */
async function findSecret(): Promise<string | undefined> {
  const given = process.env['JWT_SECRET'];
  if (given !== undefined && given !== '') return given;
  if (!options.dev) return undefined;
  await mkdir(options.data, { recursive: true });
  return loadSecret(join(options.data, 'jwt-secret'));
}

function parsePort(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new InvalidArgumentError('a port is a number from 0 to 65535');
  return port;
}
