import { capture } from './capture.bench.ts';
import { commit } from './commit.bench.ts';
import type { Benchmark } from './harness/benchmark.ts';
import { latency } from './latency.bench.ts';
import { liveQuery } from './live-query.bench.ts';
import { pull } from './pull.bench.ts';
import { push } from './push.bench.ts';
import { rebuild } from './rebuild.bench.ts';
import { stages } from './stages.bench.ts';

const ALL: readonly Benchmark[] = [push, rebuild, pull, capture, stages, liveQuery, commit, latency];

/** Every benchmark by its name on the command line. */
export const BENCHMARKS: ReadonlyMap<string, Benchmark> = new Map(ALL.map((benchmark) => [benchmark.name, benchmark]));
