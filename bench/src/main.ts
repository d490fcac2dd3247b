/** `npm run bench -- NAME… [--rows N] [--repetitions N] [--json]`: figures beside a raw baseline of the same run. */
import { Command, InvalidArgumentError } from 'commander';

import { BENCHMARKS } from './benchmarks.ts';
import type { Benchmark } from './harness/benchmark.ts';
import { measureCases } from './harness/measure.ts';
import { formatReport, makeReport, type Report } from './harness/report.ts';
import { Sandbox } from './harness/sandbox.ts';
import { readEnvironment } from './harness/versions.ts';

interface Options {
  readonly rows?: number;
  readonly repetitions?: number;
  readonly json: boolean;
}

const program = new Command()
  .name('npm run bench --')
  .description(`Benchmarks: ${[...BENCHMARKS.keys(), 'all'].join(', ')}`)
  .argument('<name...>', 'which ones to run')
  .option('--rows <number>', 'rows instead of the default of each benchmark', parseCount)
  .option('--repetitions <number>', 'repetitions after the warm-up', parseCount)
  .option('--json', 'print one JSON object with all figures', false)
  .parse();

const options = program.opts<Options>();
const names = program.args.includes('all') ? [...BENCHMARKS.keys()] : program.args;
const chosen = names.map(
  (name) => BENCHMARKS.get(name) ?? program.error(`no benchmark is called ${name}: ${[...BENCHMARKS.keys()].join(', ')}`),
);

const reports: Report[] = [];
for (const benchmark of chosen) {
  const report = await runBenchmark(benchmark);
  reports.push(report);
  if (!options.json) console.log(`\n${formatReport(report)}`);
}
if (options.json) console.log(JSON.stringify(reports.length === 1 ? reports[0] : { reports }));

async function runBenchmark(benchmark: Benchmark): Promise<Report> {
  const sandbox = await Sandbox.open();
  try {
    const settings = {
      rows: options.rows ?? benchmark.rowsDefault,
      repetitions: options.repetitions ?? benchmark.repetitionsDefault,
    };
    const cases = await benchmark.setUp({ ...settings, sandbox });
    const figures = await measureCases(cases, settings.rows, settings.repetitions, (done, total) => {
      if (process.stderr.isTTY)
        process.stderr.write(`\r${benchmark.name}: ${done} of ${total} runs${done === total ? '\n' : ''}`);
    });
    sandbox.noteRss('bench', process.resourceUsage().maxRSS * 1024);
    return makeReport(benchmark, settings, figures, sandbox, await readEnvironment(sandbox.serverUrl));
  } finally {
    await sandbox.close();
  }
}

function parseCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1) throw new InvalidArgumentError('a whole number above 0 is needed');
  return count;
}
