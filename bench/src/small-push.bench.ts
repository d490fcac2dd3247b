import { type BenchRow, makeBenchRow } from './bench-rows.ts';
import { type BenchServer, startBenchServer } from './harness/bench-server.ts';
import { type AnyCase, type Benchmark, defineCase } from './harness/benchmark.ts';
import type { Sandbox } from './harness/sandbox.ts';
import { rawTransactions } from './server-baselines.ts';
import { encodeWirePush, WireSource } from './wire-push.ts';

const SCOPES = 50;

/** One row at a time, as an app sends its user's changes. */
export const smallPush: Benchmark = {
  name: 'small-push',
  title: `pushes of one row over HTTP (create, upload, commit), from one scope and from ${SCOPES} at once; raw is BEGIN, four prepared statements, COMMIT`,
  rowsDefault: 500,
  repetitionsDefault: 5,
  async setUp({ rows, sandbox }) {
    const server = await startBenchServer(sandbox);
    return [...(await comparePushes(sandbox, server, 1, rows)), ...(await comparePushes(sandbox, server, SCOPES, rows))];
  },
};

/** Rates of both sides, then the spread of the latencies of ours: its median stands in the place of raw. */
async function comparePushes(sandbox: Sandbox, server: BenchServer, writers: number, rows: number): Promise<readonly AnyCase[]> {
  const [group, spread] = [`from ${writers}`, `spread from ${writers}`];
  const shared = { units: rows, unit: 'pushes', prepare: () => Promise.resolve() };
  const writeRaw = await rawTransactions(sandbox, writers);
  const sources = await Promise.all(Array.from({ length: writers }, () => openSource(server)));
  let nextRow = 0;
  let latencies: readonly number[] = [];
  const runAll = async (write: (writer: number, row: BenchRow) => Promise<void>): Promise<void> => {
    latencies = await measureWrites(writers, rows, (writer) => write(writer, makeBenchRow((nextRow += 1))));
  };
  const percentile = (share: number) => () => Promise.resolve(latencies[Math.floor(latencies.length * share)] ?? 0);
  return [
    defineCase({ ...shared, name: `raw, ${group}`, group, isRaw: true, run: () => runAll(writeRaw) }),
    defineCase({ ...shared, name: `pushes, ${group}`, group, run: () => runAll((writer, row) => push(sources, writer, row)) }),
    defineCase({ ...shared, name: `p50 of one push, ${group}`, group: spread, units: 1, isRaw: true, run: percentile(0.5) }),
    defineCase({ ...shared, name: `p99 of one push, ${group}`, group: spread, units: 1, run: percentile(0.99) }),
  ];
}

/** Every writer goes on by itself until all rows are written; returns the times of single writes, sorted. */
async function measureWrites(
  writers: number,
  rows: number,
  write: (writer: number) => Promise<void>,
): Promise<readonly number[]> {
  const latencies: number[] = [];
  let left = rows;
  const goOn = async (writer: number): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const startedAt = performance.now();
      await write(writer);
      latencies.push(performance.now() - startedAt);
    }
  };
  await Promise.all(Array.from({ length: writers }, (_, writer) => goOn(writer)));
  return latencies.sort((a, b) => a - b);
}

interface Source {
  readonly wire: WireSource;
  nextSourceBundleId: number;
}

async function openSource(server: BenchServer): Promise<Source> {
  const { token } = await server.newUser();
  const wire = new WireSource(server.url, token);
  await wire.connectEmpty();
  return { wire, nextSourceBundleId: 1 };
}

async function push(sources: readonly Source[], writer: number, row: BenchRow): Promise<void> {
  const source = sources[writer];
  if (source === undefined) throw new Error(`writer ${writer} has no source`);
  const pushId = await source.wire.stage(encodeWirePush([row]), source.nextSourceBundleId);
  await source.wire.commit(pushId);
  source.nextSourceBundleId += 1;
}
