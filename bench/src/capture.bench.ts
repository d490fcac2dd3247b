import type { DatabaseSync } from 'node:sqlite';

import { createDevice, insertInOneTransaction, insertOneByOne } from './sqlite-table.ts';
import { type BenchRow, makeBenchRows, withRandomKeys } from './bench-rows.ts';
import { type AnyCase, type Benchmark, defineCase } from './harness/benchmark.ts';
import type { Sandbox } from './harness/sandbox.ts';
import { openBenchDevice } from './processes/bench-device.ts';

/** Single-row transactions are slower by far: fewer of them give the same accuracy. */
const SINGLE_ROWS_SHARE = 0.1;

/** What is inserted on top of rows that are pending already. */
const TOP_ROWS = 5000;

/** What the capture triggers cost the application's own writes. */
export const capture: Benchmark = {
  name: 'capture',
  title: 'local inserts with the capture triggers; raw is the same inserts into the same table without triggers',
  rowsDefault: 100_000,
  repetitionsDefault: 5,
  setUp({ rows, sandbox }) {
    const all = makeBenchRows(rows);
    const few = all.slice(0, Math.max(1, Math.round(rows * SINGLE_ROWS_SHARE)));
    const top = makeBenchRows(TOP_ROWS, rows);
    return Promise.resolve([
      ...pair(sandbox, 'one transaction', [], all, insertInOneTransaction),
      ...pair(sandbox, 'one transaction, random keys', [], withRandomKeys(all), insertInOneTransaction),
      ...pair(sandbox, 'one transaction, tempStore file', [], all, insertInOneTransaction, 'file'),
      ...pair(sandbox, 'transactions of 10,000 rows', [], all, insertInTenThousands),
      ...pair(sandbox, 'single-row transactions', [], few, insertOneByOne),
      ...pair(
        sandbox,
        `single-row transactions, random keys, ${rows} pending`,
        withRandomKeys(all),
        withRandomKeys(few, rows),
        insertOneByOne,
      ),
      ...pair(sandbox, 'nothing pending', [], top, insertInOneTransaction),
      ...pair(sandbox, `${rows} pending`, all, top, insertInOneTransaction),
    ]);
  },
};

function insertInTenThousands(device: DatabaseSync, rows: readonly BenchRow[]): void {
  for (let start = 0; start < rows.length; start += 10_000) insertInOneTransaction(device, rows.slice(start, start + 10_000));
}

type Insert = (device: DatabaseSync, rows: readonly BenchRow[]) => void;

/** The same inserts without and with triggers, on top of `before`. */
function pair(
  sandbox: Sandbox,
  group: string,
  before: readonly BenchRow[],
  rows: readonly BenchRow[],
  insert: Insert,
  tempStore?: 'file',
): AnyCase[] {
  return [
    defineCase({
      name: `raw, ${group}`,
      group,
      isRaw: true,
      units: rows.length,
      prepare: () => {
        const device = createDevice(sandbox.newFile('raw'));
        insertInOneTransaction(device, before);
        return Promise.resolve(device);
      },
      run: (device) => Promise.resolve(insert(device, rows)),
      finish: (device) => Promise.resolve(device.close()),
    }),
    defineCase({
      name: `captured, ${group}`,
      group,
      units: rows.length,
      prepare: async () => {
        const file = sandbox.newFile('captured');
        const given = tempStore === undefined ? {} : { tempStore };
        const device = await openBenchDevice({ file, serverUrl: 'http://127.0.0.1:9', token: 'unused', ...given });
        insertInOneTransaction(device.driver.database, before);
        return device;
      },
      run: (device) => Promise.resolve(insert(device.driver.database, rows)),
      finish: (device) => device.close(),
    }),
  ];
}
