/**
 * `npm run test:postgres-matrix`: runs the server's PostgreSQL suites on every supported major version. Downloads each version once, from
 * npm, into `.oversync/`. With `-- --versions 15,17` only those.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { getPlatformPackage, startPostgres } from '@oversync/dev-postgres';

import { capture, ROOT, run } from './run.ts';

/** Versions of the platform packages; 14 is the oldest that the server accepts, 18 is the one of the ordinary test run. */
const VERSIONS: Readonly<Record<string, string>> = {
  14: '14.23.0-beta.17',
  15: '15.18.0-beta.17',
  16: '16.14.0-beta.17',
  17: '17.10.0-beta.17',
  18: '18.4.0-beta.17',
};

const CACHE_FOLDER = join(ROOT, '.oversync', 'postgres-matrix');

/** Durability is of no use to a server whose data is deleted at the end of the run. */
const SETTINGS = { fsync: 'off', full_page_writes: 'off', max_connections: '200' };

interface Outcome {
  readonly major: string;
  readonly serverVersion: string;
  readonly closing: string;
  readonly seconds: number;
  readonly isPassed: boolean;
  readonly log: string;
}

const { values } = parseArgs({ options: { versions: { type: 'string', default: Object.keys(VERSIONS).join(',') } } });
const suites = capture('git', ['ls-files', '--cached', '--others', '--exclude-standard', 'packages/server/src/**.pg.test.ts']);

const outcomes: Outcome[] = [];
for (const major of values.versions.split(',')) outcomes.push(await runOn(major));
printTable(outcomes);
if (outcomes.some((outcome) => !outcome.isPassed)) process.exitCode = 1;

async function runOn(major: string): Promise<Outcome> {
  const version = VERSIONS[major];
  if (version === undefined) throw new Error(`PostgreSQL ${major} is not one of ${Object.keys(VERSIONS).join(', ')}`);
  const packageFolder = install(version);
  const folder = join(CACHE_FOLDER, version);
  const server = await startPostgres({ dataDir: join(folder, 'data'), engine: 'embedded', settings: SETTINGS, packageFolder });
  if (server.kind === 'pglite') throw new Error('no PostgreSQL server');
  const log = join(folder, 'test.log');
  const startedAt = performance.now();
  try {
    console.log(`PostgreSQL ${version}: running, output in ${log}`);
    const files = suites.split('\n').filter((file) => file !== '');
    const result = spawnSync('npx', ['vitest', 'run', ...files], {
      cwd: ROOT,
      env: { ...process.env, TEST_DATABASE_URL: server.url, NO_COLOR: '1' },
      stdio: ['ignore', openSync(log, 'w'), openSync(log, 'a')],
    });
    const closing =
      readFileSync(log, 'utf8')
        .match(/^\d+ passed, .*$/gm)
        ?.at(-1) ?? 'nothing ran';
    const seconds = Math.round((performance.now() - startedAt) / 1000);
    return { major, serverVersion: version, closing, seconds, isPassed: result.status === 0, log };
  } finally {
    await server.destroy();
  }
}

/** Installs the platform package of one version in a folder of its own, and returns the folder of the package. */
function install(version: string): string {
  const folder = join(CACHE_FOLDER, version);
  const name = getPlatformPackage();
  const packageFolder = join(folder, 'node_modules', name);
  if (!existsSync(join(packageFolder, 'native', 'bin'))) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'package.json'), '{"private": true}\n');
    run('npm', ['install', '--no-audit', '--no-fund', '--no-package-lock', '--ignore-scripts', `${name}@${version}`], folder);
  }
  return packageFolder;
}

function printTable(rows: readonly Outcome[]): void {
  console.log('\nPostgreSQL  package          seconds  result');
  for (const { major, serverVersion, seconds, closing, isPassed } of rows) {
    const cells = [
      major.padEnd(10),
      serverVersion.padEnd(15),
      String(seconds).padStart(7),
      isPassed ? closing : `FAILED: ${closing}`,
    ];
    console.log(cells.join('  '));
  }
}
