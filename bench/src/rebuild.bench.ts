import { rawCopyAndInsertMany } from './baselines.ts';
import { fillScope } from './filled-scope.ts';
import { closeDevice, startBenchServer } from './harness/bench-server.ts';
import { type Benchmark, defineCase } from './harness/benchmark.ts';
import type { DeviceChoices } from './processes/bench-device.ts';
import { seedScope } from './seeded-scope.ts';

/** Rows that a device has pushed, so that the scope has a bundle; PostgreSQL makes all others. */
const PUSHED_ROWS = 1;

/** The first sync of a new device: snapshot downloaded, staged, applied. The warm-up has the server build the snapshot. */
export const rebuild: Benchmark = {
  name: 'rebuild',
  title: 'a new device joins and rebuilds from a snapshot; raw is COPY TO plus prepared SQLite inserts of as many rows',
  rowsDefault: 100_000,
  repetitionsDefault: 3,
  async setUp({ rows, sandbox }) {
    const server = await startBenchServer(sandbox);
    const scope = await seedScope(server, PUSHED_ROWS);
    await fillScope(sandbox.connect(server.databaseUrl), rows);
    const attach = (name: string, options: DeviceChoices) =>
      defineCase({
        name,
        prepare: async () => {
          const device = await server.openDevice(scope.token, options);
          sandbox.noteRss('client before', Number(await device.call('rssBytes')));
          return device;
        },
        run: async (device) => {
          const ms = await device.time('attach', scope.user);
          const count = await device.call('count');
          if (count !== rows + PUSHED_ROWS) throw new Error(`the device holds ${String(count)} of ${rows + PUSHED_ROWS} rows`);
          sandbox.noteFile('after the rebuild', Number(await device.call('fileBytes')));
          return ms;
        },
        finish: closeDevice,
      });
    return [
      await rawCopyAndInsertMany(sandbox, rows),
      attach('attach with rebuild', {}),
      attach("the same with acceptEncoding: 'identity'", { acceptEncoding: 'identity' }),
    ];
  },
};
