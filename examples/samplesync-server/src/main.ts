/** The server as a program. `token <tenant> <user>` prints a token instead; both need JWT_SECRET, the server DATABASE_URL as well. */
import { startAppServer } from './app-server.ts';
import { signToken } from './auth.ts';

const jwtSecret = readVariable('JWT_SECRET');
const [command, tenant, user] = process.argv.slice(2);

if (command === 'token' && tenant !== undefined && user !== undefined) {
  console.log(await signToken(jwtSecret, { tenant, user }));
} else {
  const server = await startAppServer({
    databaseUrl: readVariable('DATABASE_URL'),
    jwtSecret,
    port: Number(process.env['PORT'] ?? 8080),
    host: process.env['HOST'] ?? '127.0.0.1',
  });
  console.log(`listening on ${server.url}`);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void server.close());
}

function readVariable(name: string): string {
  const value = process.env[name];
  if (value !== undefined && value !== '') return value;
  console.error(`${name} is not set`);
  process.exit(1);
}
