import { makeBenchRows } from './bench-rows.ts';
import { startBenchServer } from './harness/bench-server.ts';
import { type Benchmark, defineCase } from './harness/benchmark.ts';
import { PullReader } from './pull-reader.ts';
import { rawCopy } from './server-baselines.ts';
import { encodeWirePush, WireSource } from './wire-push.ts';

const BUNDLES = 100;
const BYTES_PER_MIB = 2 ** 20;

/** The reading side of the server alone. */
export const serverPull: Benchmark = {
  name: 'server-pull',
  title: `all pulls of rows in ${BUNDLES} bundles, read and thrown away; raw is COPY (SELECT …) TO STDOUT of the same rows`,
  rowsDefault: 100_000,
  repetitionsDefault: 5,
  async setUp({ rows, sandbox }) {
    const server = await startBenchServer(sandbox);
    const { token } = await server.newUser();
    const writer = new WireSource(server.url, token);
    await writer.connectEmpty();
    const benchRows = makeBenchRows(rows);
    const bundleRows = Math.ceil(rows / BUNDLES);
    for (let from = 0; from < rows; from += bundleRows) {
      const push = encodeWirePush(benchRows.slice(from, from + bundleRows));
      await writer.commit(await writer.stage(push, from / bundleRows + 1));
    }
    const reader = new PullReader(server.url, token);
    sandbox.onClose(() => Promise.resolve(reader.close()));
    let longestDelayMs = 0;
    return [
      await rawCopy(sandbox, benchRows),
      defineCase({
        name: 'pull',
        prepare: () => Promise.resolve(),
        run: async () => {
          const bytes = await reader.readAll();
          if (bytes < rows * 200) throw new Error(`the pull had ${bytes} bytes only`);
          sandbox.noteFact('pull', `${(bytes / BYTES_PER_MIB).toFixed(1)} MiB`);
        },
        finish: async () => {
          longestDelayMs = Math.max(longestDelayMs, await server.measureLoopDelay(() => reader.readAll()));
          sandbox.noteFact('longest block of the event loop of the server in such a pull', `${longestDelayMs.toFixed(1)} ms`);
        },
      }),
    ];
  },
};
