import { rawInsertSelect } from './baselines.ts';
import { type BenchRow, makeBenchRows, withRandomKeys } from './bench-rows.ts';
import { type BenchServer, startBenchServer } from './harness/bench-server.ts';
import { type AnyCase, type Benchmark, defineCase } from './harness/benchmark.ts';
import type { Sandbox } from './harness/sandbox.ts';
import { rawDelete, rawUpdate } from './server-baselines.ts';
import { encodeWirePush, type WirePush, WireSource } from './wire-push.ts';

const TITLE = 'the server commits a staged push; raw is INSERT … SELECT, UPDATE … FROM or DELETE … USING of the same rows';

/** The server alone: staged rows become a bundle; and the same with its upload. */
export const commit: Benchmark = {
  name: 'commit',
  title: `${TITLE}; random keys (UUID version 4)`,
  rowsDefault: 10_000,
  repetitionsDefault: 5,
  setUp: ({ rows, sandbox }) => listCases(sandbox, withRandomKeys(makeBenchRows(rows))),
};

/** The same with keys that every index likes best, which helps the baseline most. */
export const commitOrdered: Benchmark = {
  ...commit,
  name: 'commit-ordered',
  title: `${TITLE}; keys that rise with time (UUID version 7)`,
  setUp: ({ rows, sandbox }) => listCases(sandbox, makeBenchRows(rows)),
};

async function listCases(sandbox: Sandbox, rows: readonly BenchRow[]): Promise<readonly AnyCase[]> {
  const server = await startBenchServer(sandbox);
  const changed = rows.map((row) => ({ ...row, name: `${row.name}, changed` }));
  const story = new Story(server, sandbox, {
    INSERT: encodeWirePush(rows),
    UPDATE: encodeWirePush(changed, 'UPDATE', 1n),
    DELETE: encodeWirePush(changed, 'DELETE', 2n),
  });
  return [
    await rawInsertSelect(sandbox, rows),
    story.commitCase('commit', 'INSERT', ''),
    story.totalCase('create + upload + commit', 'INSERT', ''),
    await rawUpdate(sandbox, changed, 'updates'),
    story.commitCase('commit of updates', 'UPDATE', 'updates'),
    story.totalCase('create + upload + commit of updates', 'UPDATE', 'updates'),
    await rawDelete(sandbox, changed, 'deletes'),
    story.commitCase('commit of deletes', 'DELETE', 'deletes'),
  ];
}

type Op = 'INSERT' | 'UPDATE' | 'DELETE';

/**
 * One scope per round, whose rows are inserted, updated and deleted: each push is staged once, for the commit and for the whole of it,
 * and leaves what the next one needs.
 */
class Story {
  readonly #server: BenchServer;
  readonly #pushes: Readonly<Record<Op, WirePush>>;
  readonly #pool: ReturnType<Sandbox['connect']>;
  readonly #totalMs = new Map<Op, number>();
  #source: WireSource | undefined;
  #sourceBundleId = 0;

  constructor(server: BenchServer, sandbox: Sandbox, pushes: Readonly<Record<Op, WirePush>>) {
    this.#server = server;
    this.#pushes = pushes;
    this.#pool = sandbox.connect(server.databaseUrl);
  }

  commitCase(name: string, op: Op, group: string): AnyCase {
    return defineCase({
      name,
      group,
      prepare: async () => {
        if (op === 'INSERT') await this.#startScope();
        const source = this.#source;
        if (source === undefined) throw new Error('a story begins with its inserts');
        this.#sourceBundleId += 1;
        const startedAt = performance.now();
        const pushId = await source.stage(this.#pushes[op], this.#sourceBundleId);
        const stageMs = performance.now() - startedAt;
        // As before the baseline: whichever runs writes each page that it changes for the first time in full.
        await this.#pool.query('CHECKPOINT');
        return { source, pushId, stageMs };
      },
      run: async ({ source, pushId, stageMs }) => {
        const startedAt = performance.now();
        await source.commit(pushId);
        const commitMs = performance.now() - startedAt;
        this.#totalMs.set(op, stageMs + commitMs);
        return commitMs;
      },
    });
  }

  /** What the commit before it took together with its upload. */
  totalCase(name: string, op: Op, group: string): AnyCase {
    return defineCase({
      name,
      group,
      prepare: () => Promise.resolve(),
      run: () => Promise.resolve(this.#totalMs.get(op) ?? Number.NaN),
    });
  }

  async #startScope(): Promise<void> {
    const { token } = await this.#server.newUser();
    this.#source = new WireSource(this.#server.url, token);
    this.#sourceBundleId = 0;
    await this.#source.connectEmpty();
  }
}
