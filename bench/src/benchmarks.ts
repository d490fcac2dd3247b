import { capture } from './capture.bench.ts';
import { commit, commitOrdered } from './commit.bench.ts';
import type { Benchmark } from './harness/benchmark.ts';
import { latency } from './latency.bench.ts';
import { liveQuery } from './live-query.bench.ts';
import { pull } from './pull.bench.ts';
import { push } from './push.bench.ts';
import { rebuild } from './rebuild.bench.ts';
import { snapshot, snapshotOrdered } from './snapshot.bench.ts';
import { serverPull } from './server-pull.bench.ts';
import { smallPush } from './small-push.bench.ts';
import { stages } from './stages.bench.ts';
import { watchStreams } from './watch-streams.bench.ts';

const ALL: readonly Benchmark[] = [
  push,
  rebuild,
  pull,
  capture,
  stages,
  liveQuery,
  commit,
  commitOrdered,
  smallPush,
  snapshot,
  snapshotOrdered,
  serverPull,
  latency,
  watchStreams,
];

/** Every benchmark by its name on the command line. */
export const BENCHMARKS: ReadonlyMap<string, Benchmark> = new Map(ALL.map((benchmark) => [benchmark.name, benchmark]));
