import { rawInsertSelect } from './baselines.ts';
import { makeBenchRow, makeBenchRows } from './bench-rows.ts';
import { startBenchServer } from './harness/bench-server.ts';
import { type Benchmark, defineCase } from './harness/benchmark.ts';
import { encodeWirePush, WireSource } from './wire-push.ts';

/** The image of a scope, built for its first reader and shared by the next ones. */
export const snapshot: Benchmark = {
  name: 'snapshot',
  title: 'a snapshot session is opened: image built, image reused at the same head; raw is INSERT … SELECT of the same rows',
  rowsDefault: 100_000,
  repetitionsDefault: 3,
  async setUp({ rows, sandbox }) {
    const server = await startBenchServer(sandbox);
    const { token } = await server.newUser();
    const [writer, reader, second] = [0, 1, 2].map(() => new WireSource(server.url, token));
    if (writer === undefined || reader === undefined || second === undefined) throw new Error('three sources are needed');
    await writer.connectEmpty();
    const benchRows = makeBenchRows(rows);
    await writer.commit(await writer.stage(encodeWirePush(benchRows)));
    let bundles = 1;
    const moveHead = async (): Promise<void> => {
      bundles += 1;
      await writer.commit(await writer.stage(encodeWirePush([makeBenchRow(rows + bundles)]), bundles));
    };
    const open = async (source: WireSource): Promise<void> => {
      const count = await source.createSnapshot();
      if (count !== BigInt(rows + bundles - 1)) throw new Error(`the snapshot has ${count} rows`);
    };
    return [
      await rawInsertSelect(sandbox, benchRows),
      defineCase({ name: 'image built', prepare: moveHead, run: () => open(reader) }),
      defineCase({ name: 'image reused by another device', prepare: () => Promise.resolve(), run: () => open(second) }),
    ];
  },
};
