import { rawNotify } from './baselines.ts';
import { insertInOneTransaction } from './baselines.ts';
import { makeBenchRow } from './bench-rows.ts';
import { startBenchServer } from './harness/bench-server.ts';
import { type Benchmark, defineCase } from './harness/benchmark.ts';
import { attachNow, openBenchDevice } from './processes/bench-device.ts';

/** Commits of one run; they follow each other, so the time of a run divided by this is the latency. */
const COMMITS = 50;

/** From a local commit on one device to the row on another device that watches. */
export const latency: Benchmark = {
  name: 'latency',
  title: `${COMMITS} times: local commit, push, event, pull, row on the watching device; raw is INSERT, NOTIFY, notification received`,
  rowsDefault: COMMITS,
  repetitionsDefault: 5,
  async setUp({ rows, sandbox }) {
    const server = await startBenchServer(sandbox);
    const { user, token } = await server.newUser();
    const open = (name: string) => openBenchDevice({ file: sandbox.newFile(name), serverUrl: server.url, token });
    const writer = await open('writer');
    sandbox.onClose(() => writer.close());
    await attachNow(writer, user);
    const watcher = await open('watcher');
    sandbox.onClose(() => watcher.close());
    await attachNow(watcher, user);
    const loop = watcher.client.start({ bundleChangeWatchMode: 'auto' });
    sandbox.onClose(() => loop.stop());
    let nextRow = 0;
    return [
      await rawNotify(sandbox, rows),
      defineCase({
        name: 'local commit until row on the other device',
        units: rows,
        unit: 'commits',
        prepare: () => Promise.resolve(),
        run: async () => {
          const startedAt = performance.now();
          for (let count = 0; count < rows; count += 1) {
            const arrived = Promise.withResolvers<void>();
            const unsubscribe = watcher.client.subscribe((event) => {
              if (event.type === 'tablesChanged' && event.origin === 'remote') arrived.resolve();
            });
            insertInOneTransaction(writer.driver.database, [makeBenchRow(nextRow)]);
            nextRow += 1;
            await writer.client.pushPending();
            await arrived.promise;
            unsubscribe();
          }
          return performance.now() - startedAt;
        },
      }),
    ];
  },
};
