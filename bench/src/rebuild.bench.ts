import { rawCopyAndInsert } from './baselines.ts';
import { makeBenchRows } from './bench-rows.ts';
import { closeDevice, startBenchServer } from './harness/bench-server.ts';
import { type Benchmark, defineCase } from './harness/benchmark.ts';
import { seedScope } from './seeded-scope.ts';

/** The first sync of a new device: snapshot made, downloaded, staged, applied. */
export const rebuild: Benchmark = {
  name: 'rebuild',
  title: 'a new device joins and rebuilds from a snapshot; raw is COPY TO plus prepared SQLite inserts of the same rows',
  rowsDefault: 100_000,
  repetitionsDefault: 3,
  async setUp({ rows, sandbox }) {
    const server = await startBenchServer(sandbox);
    const scope = await seedScope(server, rows);
    return [
      await rawCopyAndInsert(sandbox, makeBenchRows(rows)),
      defineCase({
        name: 'attach with rebuild',
        prepare: async () => {
          const device = await server.openDevice(scope.token);
          sandbox.noteRss('client before', Number(await device.call('rssBytes')));
          return device;
        },
        run: async (device) => {
          const ms = await device.time('attach', scope.user);
          const count = await device.call('count');
          if (count !== rows) throw new Error(`the device holds ${String(count)} of ${rows} rows`);
          sandbox.noteFile('after the rebuild', Number(await device.call('fileBytes')));
          return ms;
        },
        finish: closeDevice,
      }),
    ];
  },
};
