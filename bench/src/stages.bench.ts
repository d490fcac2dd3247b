import { createDevice, insertInOneTransaction } from './baselines.ts';
import { type BenchRow, makeBenchRows } from './bench-rows.ts';
import { type AnyCase, type Benchmark, defineCase } from './harness/benchmark.ts';
import type { Sandbox } from './harness/sandbox.ts';
import { checkedRows, snapshotChunks, StoreDevice } from './store-device.ts';

/** A transaction for every few rows takes longer: fewer rows give the same accuracy. */
const FEW_ROWS_SHARE = 0.2;

/** Each stage of the client by itself, without a network. */
export const stages: Benchmark = {
  name: 'stages',
  title:
    'the stages of the client without a network; raw is prepared inserts of the same rows into the same table, one transaction',
  rowsDefault: 100_000,
  repetitionsDefault: 3,
  setUp({ rows, sandbox }) {
    const all = makeBenchRows(rows);
    const few = all.slice(0, Math.ceil(rows * FEW_ROWS_SHARE));
    return Promise.resolve([
      rawInserts(sandbox, all, ''),
      freezeCase(sandbox, all),
      ...snapshotCases(sandbox, all),
      replayCase(sandbox, all),
      pullCase(sandbox, all, 100, ''),
      rawInserts(sandbox, few, 'few'),
      pullCase(sandbox, few, 1, 'few'),
    ]);
  },
};

function rawInserts(sandbox: Sandbox, rows: readonly BenchRow[], group: string): AnyCase {
  return defineCase({
    name: `raw inserts, ${rows.length.toLocaleString('en')} rows`,
    group,
    isRaw: true,
    units: rows.length,
    prepare: () => Promise.resolve(createDevice(sandbox.newFile('raw'))),
    run: (device) => Promise.resolve(insertInOneTransaction(device, rows)),
    finish: (device) => Promise.resolve(device.close()),
  });
}

function freezeCase(sandbox: Sandbox, rows: readonly BenchRow[]): AnyCase {
  return defineCase({
    name: 'freeze (read, encode, hash, outbox)',
    prepare: async () => {
      const device = await StoreDevice.open(sandbox.newFile('freeze'));
      insertInOneTransaction(device.driver.database, rows);
      return device;
    },
    run: async (device) => {
      await device.freeze();
    },
    finish: (device) => device.close(),
  });
}

function snapshotCases(sandbox: Sandbox, rows: readonly BenchRow[]): readonly AnyCase[] {
  const chunks = snapshotChunks(rows);
  const open = () => StoreDevice.open(sandbox.newFile('snapshot'));
  return [
    defineCase({
      name: 'stage (read chunks, check, store)',
      prepare: open,
      run: (device) => device.stageSnapshot(chunks),
      finish: (device) => device.close(),
    }),
    defineCase({
      name: 'apply (stage to table and row state)',
      prepare: async () => {
        const device = await open();
        await device.stageSnapshot(chunks);
        return device;
      },
      run: (device) => device.applySnapshot(rows.length),
      finish: (device) => device.close(),
    }),
    defineCase({
      name: 'stage + apply',
      prepare: open,
      run: async (device) => {
        await device.stageSnapshot(chunks);
        await device.applySnapshot(rows.length);
      },
      finish: (device) => device.close(),
    }),
  ];
}

function replayCase(sandbox: Sandbox, rows: readonly BenchRow[]): AnyCase {
  const committed = checkedRows(rows);
  return defineCase({
    name: 'replay of an own push',
    prepare: async () => {
      const device = await StoreDevice.open(sandbox.newFile('replay'));
      insertInOneTransaction(device.driver.database, rows);
      const outbox = await device.commit(await device.freeze());
      return { device, outbox, bundle: await device.stageCommitted(committed) };
    },
    run: ({ device, outbox, bundle }) => device.replay(outbox, bundle),
    finish: ({ device }) => device.close(),
  });
}

function pullCase(sandbox: Sandbox, rows: readonly BenchRow[], bundleRows: number, group: string): AnyCase {
  const pulled = checkedRows(rows);
  return defineCase({
    name: `pull of bundles of ${bundleRows} ${bundleRows === 1 ? 'row' : 'rows'}`,
    group,
    units: rows.length,
    prepare: () => StoreDevice.open(sandbox.newFile('pull')),
    run: (device) => device.pull(pulled, bundleRows),
    finish: (device) => device.close(),
  });
}
