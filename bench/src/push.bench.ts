import { rawInsertSelect } from './baselines.ts';
import { makeBenchRows } from './bench-rows.ts';
import { closeDevice, startBenchServer } from './harness/bench-server.ts';
import { type Benchmark, defineCase } from './harness/benchmark.ts';

/** From dirty rows on a device to replayed rows on the same device, with everything between. */
export const push: Benchmark = {
  name: 'push',
  title:
    'a device sends its new rows (freeze, upload, commit, verify, replay); raw is INSERT … SELECT of the same rows on the server',
  rowsDefault: 20_000,
  repetitionsDefault: 3,
  async setUp({ rows, sandbox }) {
    const server = await startBenchServer(sandbox);
    return [
      await rawInsertSelect(sandbox, makeBenchRows(rows)),
      defineCase({
        name: 'push of new rows',
        prepare: async () => {
          const { user, token } = await server.newUser();
          const device = await server.openDevice(token);
          await device.call('insert', { from: 0, count: rows });
          await device.call('attach', user);
          return device;
        },
        run: (device) => device.time('push'),
        finish: closeDevice,
      }),
    ];
  },
};
