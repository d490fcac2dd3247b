import { rawCopyAndInsert } from './baselines.ts';
import { makeBenchRows } from './bench-rows.ts';
import { closeDevice, startBenchServer } from './harness/bench-server.ts';
import { type Benchmark, defineCase } from './harness/benchmark.ts';
import type { Child } from './processes/ipc.ts';

/** An attached device receives what another device has sent since. */
export const pull: Benchmark = {
  name: 'pull',
  title: 'an attached device pulls the rows of another one; raw is COPY TO plus prepared SQLite inserts of the same rows',
  rowsDefault: 20_000,
  repetitionsDefault: 3,
  async setUp({ rows, sandbox }) {
    const server = await startBenchServer(sandbox);
    return [
      await rawCopyAndInsert(sandbox, makeBenchRows(rows)),
      defineCase({
        name: 'pull of new rows',
        prepare: async () => {
          const { user, token } = await server.newUser();
          const reader = await server.openDevice(token);
          await reader.call('attach', user);
          const writer = await server.openDevice(token);
          await writer.call('attach', user);
          await writer.call('insert', { from: 0, count: rows });
          await writer.call('push');
          await closeDevice(writer);
          return reader;
        },
        run: (reader: Child) => reader.time('pull'),
        finish: closeDevice,
      }),
    ];
  },
};
