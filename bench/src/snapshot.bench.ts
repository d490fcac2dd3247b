import type { Pool } from 'pg';

import { makeBenchRow } from './bench-rows.ts';
import { type BenchServer, startBenchServer } from './harness/bench-server.ts';
import { type AnyCase, type Benchmark, type BenchmarkSettings, defineCase } from './harness/benchmark.ts';
import type { Sandbox } from './harness/sandbox.ts';
import { fillScope } from './filled-scope.ts';
import { BENCH_ROW_COLUMNS, type BenchKeys } from './sql-rows.ts';
import { encodeWirePush, WireSource } from './wire-push.ts';

/** Pushed rows get numbers beyond those that SQL makes. */
const PUSHED_ROWS_FROM = 100_000_000;

const TITLE = 'a snapshot session is opened: image built, image reused at the same head; raw is INSERT … SELECT of the same rows';

/** The image of a scope, built for its first reader and shared by the next ones. */
export const snapshot: Benchmark = {
  name: 'snapshot',
  title: `${TITLE}; random keys (UUID version 4)`,
  rowsDefault: 100_000,
  repetitionsDefault: 3,
  setUp: (settings) => listCases(settings, 'random'),
};

/** The same with keys that every index likes best, which helps the baseline most. */
export const snapshotOrdered: Benchmark = {
  ...snapshot,
  name: 'snapshot-ordered',
  title: `${TITLE}; keys that rise with time (UUID version 7)`,
  setUp: (settings) => listCases(settings, 'ordered'),
};

async function listCases({ rows, sandbox }: BenchmarkSettings, keys: BenchKeys): Promise<readonly AnyCase[]> {
  const server = await startBenchServer(sandbox);
  const { token } = await server.newUser();
  const [writer, reader, second] = [0, 1, 2].map(() => new WireSource(server.url, token));
  if (writer === undefined || reader === undefined || second === undefined) throw new Error('three sources are needed');
  await writer.connectEmpty();
  let bundles = 0;
  const moveHead = async (): Promise<void> => {
    bundles += 1;
    await writer.commit(await writer.stage(encodeWirePush([makeBenchRow(PUSHED_ROWS_FROM + bundles)]), bundles));
  };
  await moveHead();
  const pool = sandbox.connect(server.databaseUrl);
  await fillScope(pool, rows, keys);
  // The baseline starts without pages to be written as well; otherwise it would leave its own ones to the image.
  const moveHeadAndFlush = async (): Promise<void> => {
    await moveHead();
    await pool.query('CHECKPOINT');
  };
  const open = async (source: WireSource): Promise<void> => {
    const count = await source.createSnapshot();
    if (count !== BigInt(rows + bundles)) throw new Error(`the snapshot has ${count} rows`);
  };
  return [
    rawInsertSelect(pool),
    defineCase({ name: 'image built', prepare: moveHeadAndFlush, run: () => open(reader) }),
    defineCase({ name: 'image reused by another device', prepare: () => Promise.resolve(), run: () => open(second) }),
    readWholeImage(server, sandbox, second),
  ];
}

function rawInsertSelect(pool: Pool): AnyCase {
  return defineCase({
    name: 'raw INSERT … SELECT',
    isRaw: true,
    prepare: () => pool.query('TRUNCATE raw_target; CHECKPOINT'),
    run: async () => {
      await pool.query(`INSERT INTO raw_target (_sync_scope_id, ${BENCH_ROW_COLUMNS}) SELECT 'scope', r.* FROM raw_source r`);
    },
  });
}

function readWholeImage(server: BenchServer, sandbox: Sandbox, source: WireSource): AnyCase {
  let longestDelayMs = 0;
  return defineCase({
    name: 'image read, 5,000 rows or 16 MiB a chunk',
    prepare: () => Promise.resolve(),
    run: async () => {
      longestDelayMs = Math.max(longestDelayMs, await server.measureLoopDelay(() => source.readSnapshot()));
      sandbox.noteFact('longest block of the event loop of the server meanwhile', `${longestDelayMs.toFixed(1)} ms`);
    },
  });
}
