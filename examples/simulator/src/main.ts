/** The simulator as a program: simulated applications against a real server and a real PostgreSQL. */
import { writeFile } from 'node:fs/promises';

import { Command, InvalidArgumentError } from 'commander';

import { openEnvironment } from './environment.ts';
import { PARALLEL_MAX } from './limits.ts';
import type { ScenarioResult } from './report.ts';
import { runSimulation, selectScenarios } from './run.ts';

interface CommandOptions {
  readonly scenario: readonly string[];
  readonly server?: string;
  readonly db?: string;
  readonly jwtSecret?: string;
  readonly parallel: number;
  readonly verify: boolean;
  readonly output?: string;
  readonly keepDb: boolean;
  readonly cleanup: boolean;
  readonly timeScale: number;
  readonly patience: number;
}

const options = new Command()
  .name('simulator')
  .description('Runs simulated applications against a sync server and compares every device with PostgreSQL.')
  .option('--scenario <name|all|watch-all>', 'what to run', readScenario, selectScenarios('all'))
  .option('--server <url>', 'a server that runs already; needs --db and --jwt-secret')
  .option('--db <url>', 'its database; without --server, the database for a server that is started here')
  .option('--jwt-secret <secret>', 'secret of the tokens of --server')
  .option(
    '--parallel <users>',
    `so many users at once, 1 to ${PARALLEL_MAX}; above 1 each runs complex-multi-batch`,
    readParallel,
    1,
  )
  .option('--verify', 'compare with PostgreSQL', true)
  .option('--no-verify', 'compare the devices with each other only')
  .option('--output <json>', 'file for the report')
  .option('--keep-db', 'leave the data of a PostgreSQL that was started here', false)
  .option('--no-cleanup', 'leave the rows and the files of the simulated users')
  .option('--time-scale <factor>', 'length of the scenarios that last minutes by design', readScale, 1)
  .option('--patience <factor>', 'lengthens what has to happen within seconds, for slow machines', readPatience, 1)
  .parse()
  .opts<CommandOptions>();

try {
  await simulate();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

async function simulate(): Promise<void> {
  const environment = await openEnvironment({
    server: options.server,
    db: options.db,
    jwtSecret: options.jwtSecret,
    keepDb: options.keepDb || !options.cleanup,
    keepFiles: !options.cleanup,
    log: (line) => console.log(line),
  });
  try {
    const report = await runSimulation(environment, {
      scenarios: options.scenario,
      parallel: options.parallel,
      isVerifying: options.verify,
      isCleaning: options.cleanup,
      timeScale: options.timeScale,
      patience: options.patience,
      onResult: print,
    });
    if (options.output !== undefined) await writeFile(options.output, `${JSON.stringify(report, null, 2)}\n`);
    console.log(`${report.passed} passed, ${report.failed} failed, ${report.durationMs} ms`);
    if (report.status === 'failed') process.exitCode = 1;
  } finally {
    await environment.close();
  }
}

function print(result: ScenarioResult): void {
  const line = `${result.status.padEnd(6)} ${result.scenario} (${result.durationMs} ms)`;
  console.log(result.error === undefined ? line : `${line}\n${result.error}`);
}

function readScenario(text: string): readonly string[] {
  try {
    return selectScenarios(text);
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}

function readParallel(text: string): number {
  const users = Number(text);
  if (!Number.isInteger(users) || users < 1 || users > PARALLEL_MAX)
    throw new InvalidArgumentError(`a whole number from 1 to ${PARALLEL_MAX}`);
  return users;
}

function readScale(text: string): number {
  const factor = Number(text);
  if (!(factor > 0 && factor <= 1)) throw new InvalidArgumentError('a number above 0, at most 1');
  return factor;
}

function readPatience(text: string): number {
  const factor = Number(text);
  if (!(factor >= 1 && factor <= 100)) throw new InvalidArgumentError('a number from 1 to 100');
  return factor;
}
