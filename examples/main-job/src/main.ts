/** `npm start`: PostgreSQL, the reference server, and the two-device story against it, in one process. */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { loadSecret, startPostgres } from '@oversync/dev-postgres';
import { formatFailure, startReferenceServer } from '@oversync/reference-server-example';
import { Command, InvalidArgumentError, Option } from 'commander';

import { PLACES_MIN } from './edits.ts';
import { RULE_TEXT } from './newest-wins.ts';
import { ATTRIBUTION, loadCities } from './place.ts';
import { digestPostgres } from './postgres-dump.ts';
import { createProgress, formatCount } from './progress.ts';
import { formatConflicts, formatFigures, formatProof } from './report.ts';
import { openServerQuery } from './server-query.ts';
import { playStory } from './story.ts';

interface Options {
  readonly rows: number;
  readonly port: number;
  readonly data: string;
  readonly once: boolean;
  readonly engine: Engine;
}

const ENGINES = ['auto', 'embedded', 'pglite'] as const;

type Engine = (typeof ENGINES)[number];

/** Exit code of a process that was told to stop by Ctrl-C. */
const INTERRUPTED_EXIT_CODE = 130;

const PROJECT_FOLDER = fileURLToPath(new URL('../../..', import.meta.url));

const cities = await loadCities();
const options = readOptions();
const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    // A second Ctrl-C does not wait any longer; PostgreSQL is then ended by its guard.
    if (interrupted.signal.aborted) process.exit(INTERRUPTED_EXIT_CODE);
    console.log('\nStopping. The next start goes on where this one ended.');
    interrupted.abort();
  });
}

try {
  await run();
} catch (error) {
  console.error(`\n${formatFailure('npm start', error, process.env['DATABASE_URL'] !== undefined)}`);
  console.error('  nothing is lost: the next start goes on where this one ended');
  process.exitCode = 1;
}

async function run(): Promise<void> {
  await using resources = new AsyncDisposableStack();
  await mkdir(options.data, { recursive: true });
  const postgres = await startPostgres({ dataDir: join(options.data, 'postgres'), engine: options.engine });
  resources.defer(() => postgres.stop());
  const server = await startReferenceServer({
    postgres,
    jwtSecret: await loadSecret(join(options.data, 'jwt-secret')),
    devSignIn: true,
    port: options.port,
  });
  resources.defer(() => server.close());
  const user = await loadUser(join(options.data, 'user'));
  printWelcome(server.url, postgres.kind, user);
  const serverQuery = openServerQuery(postgres);
  resources.defer(() => serverQuery.close());
  try {
    const result = await playStory({
      folder: join(options.data, 'devices'),
      serverUrl: server.url,
      user,
      cities,
      rows: options.rows,
      digestServer: () => digestPostgres(serverQuery.query, user),
      startProgress: createProgress(process.stdout),
      signal: interrupted.signal,
      onRound: (round, isResumed) => console.log(isResumed ? `Round ${round}, going on where it stopped` : `Round ${round}`),
    });
    console.log(`\n${formatConflicts(result, RULE_TEXT)}\n\n${formatFigures(result)}\n\n${formatProof(result)}`);
    if (!result.isEqual) process.exitCode = 1;
  } catch (error) {
    if (!interrupted.signal.aborted) throw error;
    process.exitCode = INTERRUPTED_EXIT_CODE;
    return;
  }
  if (!options.once) await serveUntilInterrupted(server.url);
}

async function serveUntilInterrupted(url: string): Promise<void> {
  console.log(`\nThe server keeps serving on ${url} (Ctrl-C ends it). Start again for another round of edits.`);
  if (interrupted.signal.aborted) return;
  await new Promise<void>((end) => {
    interrupted.signal.addEventListener('abort', () => end(), { once: true });
  });
}

function printWelcome(url: string, kind: string, user: string): void {
  const database = {
    embedded: 'PostgreSQL from npm',
    external: 'PostgreSQL of DATABASE_URL',
    pglite: 'PGlite, inside this process',
  }[kind];
  console.log(
    [
      'Oversync: two devices, one PostgreSQL, real HTTP',
      '',
      `  database   ${database ?? kind}`,
      `  server     ${url}/sync, health at ${url}/syncx/health`,
      `  sign-in    development sign-in is ON: POST ${url}/dummy-signin gives a token to anybody on this machine`,
      `  user       ${user}`,
      `  data       ${relative(process.cwd(), options.data) || '.'} (delete it to begin anew)`,
      `  places     ${formatCount(options.rows)} of ${formatCount(cities.length)}; ${ATTRIBUTION}`,
      '',
    ].join('\n'),
  );
}

/** The user of this data folder; a fresh name each, so that a database that outlives the folder does not mix them. */
async function loadUser(file: string): Promise<string> {
  try {
    const stored = await readFile(file, 'utf8');
    if (stored !== '') return stored;
  } catch {
    // First start.
  }
  const user = `demo-${randomBytes(4).toString('hex')}`;
  await writeFile(file, user);
  return user;
}

function readOptions(): Options {
  const { rows, ...rest } = new Command()
    .name('npm start --')
    .description('Plays the two-device story against a real PostgreSQL over real HTTP, and proves that all copies are equal.')
    .option('--rows <number>', `places to import: ${PLACES_MIN} to ${cities.length}`, parseWholeNumber, 20_000)
    .option('--port <number>', 'port of the server; the next free one when it is taken', parseWholeNumber, 8080)
    .option('--data <folder>', 'folder for the database and the devices', join(PROJECT_FOLDER, '.oversync'))
    .addOption(
      new Option('--engine <kind>', 'which PostgreSQL: DATABASE_URL or npm or PGlite, whatever there is (auto), or one of them')
        .choices(ENGINES)
        .default('auto'),
    )
    .option('--once', 'exit after the story instead of serving on', false)
    .parse()
    .opts<Options>();
  return { ...rest, data: resolve(rest.data), rows: Math.min(Math.max(rows, PLACES_MIN), cities.length) };
}

function parseWholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('a whole number is needed');
  return Number(text);
}
