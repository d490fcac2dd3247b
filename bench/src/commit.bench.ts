import { rawInsertSelect } from './baselines.ts';
import { makeBenchRows } from './bench-rows.ts';
import { startBenchServer } from './harness/bench-server.ts';
import { type Benchmark, defineCase } from './harness/benchmark.ts';
import { rawDelete, rawUpdate } from './server-baselines.ts';
import { encodeWirePush, WireSource } from './wire-push.ts';

/** The server alone: staged rows become a bundle; and the same with its upload. */
export const commit: Benchmark = {
  name: 'commit',
  title: 'the server commits a staged push; raw is INSERT … SELECT, UPDATE … FROM or DELETE … USING of the same rows',
  rowsDefault: 10_000,
  repetitionsDefault: 5,
  async setUp({ rows, sandbox }) {
    const server = await startBenchServer(sandbox);
    const benchRows = makeBenchRows(rows);
    const push = encodeWirePush(benchRows);
    const connect = async (): Promise<WireSource> => {
      const { token } = await server.newUser();
      const source = new WireSource(server.url, token);
      await source.connectEmpty();
      return source;
    };
    const changed = makeBenchRows(rows).map((row) => ({ ...row, name: `${row.name}, changed` }));
    const stageOn = (op: 'UPDATE' | 'DELETE') => async () => {
      const source = await connect();
      await source.commit(await source.stage(push));
      return { source, pushId: await source.stage(encodeWirePush(changed, op, 1n), 2) };
    };
    const run = ({ source, pushId }: { readonly source: WireSource; readonly pushId: string }) => source.commit(pushId);
    return [
      await rawInsertSelect(sandbox, benchRows),
      defineCase({
        name: 'commit',
        prepare: async () => {
          const source = await connect();
          return { source, pushId: await source.stage(push) };
        },
        run: ({ source, pushId }) => source.commit(pushId),
      }),
      defineCase({
        name: 'create + upload + commit',
        prepare: connect,
        run: async (source) => source.commit(await source.stage(push)),
      }),
      await rawUpdate(sandbox, changed, 'updates'),
      defineCase({ name: 'commit of updates', group: 'updates', prepare: stageOn('UPDATE'), run }),
      await rawDelete(sandbox, changed, 'deletes'),
      defineCase({ name: 'commit of deletes', group: 'deletes', prepare: stageOn('DELETE'), run }),
    ];
  },
};
