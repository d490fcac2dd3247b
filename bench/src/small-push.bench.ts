import { makeBenchRow } from './bench-rows.ts';
import { type BenchServer, startBenchServer } from './harness/bench-server.ts';
import { type AnyCase, type Benchmark, defineCase } from './harness/benchmark.ts';
import type { Sandbox } from './harness/sandbox.ts';
import { measureWrites, type WriteTimes } from './measure-writes.ts';
import { Child } from './processes/ipc.ts';
import { rawTransactions } from './server-baselines.ts';
import { encodeWirePush, type WirePush, WireSource } from './wire-push.ts';

const SCOPES = 50;

/** One row at a time, as an app sends its user's changes. */
export const smallPush: Benchmark = {
  name: 'small-push',
  title: `pushes of one row (create, upload, commit), over HTTP and as calls in the server's process, from one scope and from ${SCOPES} at once; raw is BEGIN, four prepared statements, COMMIT`,
  rowsDefault: 500,
  repetitionsDefault: 5,
  async setUp({ rows, sandbox }) {
    const server = await startBenchServer(sandbox);
    const direct = await Child.start('push-process.ts', [await sandbox.createDatabase()], 'engine', sandbox);
    sandbox.onClose(() => direct.stop());
    return [
      ...(await comparePushes(sandbox, server, direct, 1, rows)),
      ...(await comparePushes(sandbox, server, direct, SCOPES, rows)),
    ];
  },
};

/** Rates of all sides, then the spread of the latencies of ours: its median stands in the place of raw. */
async function comparePushes(
  sandbox: Sandbox,
  server: BenchServer,
  direct: Child,
  writers: number,
  rows: number,
): Promise<readonly AnyCase[]> {
  const group = `from ${writers}`;
  const shared = { group, units: rows, unit: 'pushes' };
  const writeRaw = await rawTransactions(sandbox, writers);
  const sources = await Promise.all(Array.from({ length: writers }, () => openSource(server)));
  let nextRow = 0;
  const makeRows = () => Promise.resolve(Array.from({ length: rows }, () => makeBenchRow((nextRow += 1))));
  const makePushes = async () => (await makeRows()).map((row) => encodeWirePush([row]));
  const [overHttp, byCall] = [new Spread(`over HTTP, ${group}`), new Spread(`by call, ${group}`)];
  return [
    defineCase({
      ...shared,
      name: `raw, ${group}`,
      isRaw: true,
      prepare: makeRows,
      run: async (items) => (await measureWrites(writers, items, writeRaw)).totalMs,
    }),
    defineCase({
      ...shared,
      name: `pushes by call, ${group}`,
      prepare: () => Promise.resolve(),
      run: async () => byCall.note((await direct.call('run', { writers, rows })) as WriteTimes),
    }),
    defineCase({
      ...shared,
      name: `pushes over HTTP, ${group}`,
      prepare: makePushes,
      run: async (items) => overHttp.note(await measureWrites(writers, items, (writer, item) => push(sources[writer], item))),
    }),
    ...byCall.cases(),
    ...overHttp.cases(),
  ];
}

/** The latencies of the last run, as cases of their own. */
class Spread {
  readonly #name: string;
  #latencies: readonly number[] = [];

  constructor(name: string) {
    this.#name = name;
  }

  /** Returns the time of the run. */
  note({ totalMs, latencies }: WriteTimes): number {
    this.#latencies = latencies;
    return totalMs;
  }

  cases(): readonly AnyCase[] {
    const percentile = (share: number) => () => Promise.resolve(this.#latencies[Math.floor(this.#latencies.length * share)] ?? 0);
    const shared = { group: `spread ${this.#name}`, units: 1, unit: 'pushes', prepare: () => Promise.resolve() };
    return [
      defineCase({ ...shared, name: `p50 ${this.#name}`, isRaw: true, run: percentile(0.5) }),
      defineCase({ ...shared, name: `p99 ${this.#name}`, run: percentile(0.99) }),
    ];
  }
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

async function push(source: Source | undefined, item: WirePush): Promise<void> {
  if (source === undefined) throw new Error('a writer without a source');
  const pushId = await source.wire.stage(item, source.nextSourceBundleId);
  await source.wire.commit(pushId);
  source.nextSourceBundleId += 1;
}
