import { createDevice, insertInOneTransaction, insertOneByOne } from './baselines.ts';
import { type BenchRow, makeBenchRows } from './bench-rows.ts';
import { type AnyCase, type Benchmark, defineCase } from './harness/benchmark.ts';
import type { Sandbox } from './harness/sandbox.ts';
import { openBenchDevice } from './processes/bench-device.ts';
import type { DatabaseSync } from 'node:sqlite';

/** Single-row transactions are slower by far: fewer of them give the same accuracy. */
const SINGLE_ROWS_SHARE = 0.1;

/** What the capture triggers cost the application's own writes. */
export const capture: Benchmark = {
  name: 'capture',
  title: 'local inserts with the capture triggers; raw is the same inserts into the same table without triggers',
  rowsDefault: 100_000,
  repetitionsDefault: 5,
  setUp({ rows, sandbox }) {
    const all = makeBenchRows(rows);
    const few = all.slice(0, Math.max(1, Math.round(rows * SINGLE_ROWS_SHARE)));
    return Promise.resolve([
      withoutTriggers(sandbox, 'one transaction', all, insertInOneTransaction),
      withTriggers(sandbox, 'one transaction', all, insertInOneTransaction),
      withoutTriggers(sandbox, 'single-row transactions', few, insertOneByOne),
      withTriggers(sandbox, 'single-row transactions', few, insertOneByOne),
    ]);
  },
};

type Insert = (device: DatabaseSync, rows: readonly BenchRow[]) => void;

function withoutTriggers(sandbox: Sandbox, group: string, rows: readonly BenchRow[], insert: Insert): AnyCase {
  return defineCase({
    name: `raw, ${group}`,
    group,
    isRaw: true,
    units: rows.length,
    prepare: () => Promise.resolve(createDevice(sandbox.newFile('raw'))),
    run: (device) => Promise.resolve(insert(device, rows)),
    finish: (device) => Promise.resolve(device.close()),
  });
}

function withTriggers(sandbox: Sandbox, group: string, rows: readonly BenchRow[], insert: Insert): AnyCase {
  return defineCase({
    name: `captured, ${group}`,
    group,
    units: rows.length,
    prepare: () => openBenchDevice({ file: sandbox.newFile('captured'), serverUrl: 'http://127.0.0.1:9', token: 'unused' }),
    run: (device) => Promise.resolve(insert(device.driver.database, rows)),
    finish: (device) => device.close(),
  });
}
