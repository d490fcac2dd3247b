import type { Benchmark } from './harness/benchmark.ts';

const ALL: readonly Benchmark[] = [];

/** Every benchmark by its name on the command line. */
export const BENCHMARKS: ReadonlyMap<string, Benchmark> = new Map(ALL.map((benchmark) => [benchmark.name, benchmark]));
