import { createDevice, insertInOneTransaction } from './sqlite-table.ts';
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
      replayCase(sandbox, all, ''),
      replayCase(sandbox, all, 'changed by the server'),
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
  return (['file', 'database'] as const).flatMap((place) => {
    const open = () => StoreDevice.open(sandbox.newFile('snapshot'));
    const close = (device: StoreDevice) => device.close();
    return [
      defineCase({
        name: `stage in ${PLACE_NAMES[place]} (read chunks, check, store)`,
        prepare: open,
        run: (device) => device.stageSnapshot(chunks, place),
        finish: close,
      }),
      defineCase({
        name: `apply from ${PLACE_NAMES[place]} (to table and row state)`,
        prepare: async () => {
          const device = await open();
          await device.stageSnapshot(chunks, place);
          return device;
        },
        run: (device) => device.applySnapshot(rows.length, place),
        finish: close,
      }),
      defineCase({
        name: `stage + apply, ${PLACE_NAMES[place]}`,
        prepare: open,
        run: async (device) => {
          await device.stageSnapshot(chunks, place);
          await device.applySnapshot(rows.length, place);
        },
        finish: close,
      }),
    ];
  });
}

const PLACE_NAMES = { file: 'a file', database: 'the database' } as const;

function replayCase(sandbox: Sandbox, rows: readonly BenchRow[], change: string): AnyCase {
  const committed = checkedRows(change === '' ? rows : rows.map((row) => ({ ...row, name: `${row.name} ${change}` })));
  return defineCase({
    name: `replay of an own push, rows ${change === '' ? 'as they were sent' : change}`,
    prepare: async () => {
      const device = await StoreDevice.open(sandbox.newFile('replay'));
      insertInOneTransaction(device.driver.database, rows);
      return { device, outbox: await device.commit(await device.freeze()) };
    },
    run: ({ device, outbox }) => device.replay(outbox, committed),
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
