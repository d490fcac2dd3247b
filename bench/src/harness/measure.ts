import type { AnyCase } from './benchmark.ts';

export interface Figure {
  readonly name: string;
  readonly group: string;
  readonly isRaw: boolean;
  readonly medianMs: number;
  readonly minMs: number;
  readonly maxMs: number;
  readonly unit: string;
  readonly units: number;
  readonly unitsPerSecond: number;
  /** Median divided by the median of the raw case of the same group in the same run; above 1 is slower than raw. */
  readonly ratioToRaw: number;
}

/**
 * Runs every case once to warm up, then all of them in turn, `repetitions` times: a slow moment of the machine then hits all cases
 * alike, and the ratios stay true.
 */
export async function measureCases(
  cases: readonly AnyCase[],
  rows: number,
  repetitions: number,
  onProgress: (done: number, total: number) => void,
): Promise<readonly Figure[]> {
  const samples = new Map(cases.map((each) => [each.name, [] as number[]]));
  const total = cases.length * (repetitions + 1);
  let done = 0;
  for (let round = 0; round <= repetitions; round += 1) {
    for (const each of cases) {
      const ms = await each.measure();
      if (round > 0) samples.get(each.name)?.push(ms);
      onProgress((done += 1), total);
    }
  }
  const rawMedians = new Map(
    cases.filter((each) => each.isRaw).map((each) => [each.group ?? '', median(samples.get(each.name) ?? [])]),
  );
  return cases.map((each) => toFigure(each, samples.get(each.name) ?? [], rawMedians.get(each.group ?? '') ?? Number.NaN, rows));
}

function toFigure(each: AnyCase, samples: readonly number[], rawMs: number, rows: number): Figure {
  const medianMs = median(samples);
  const units = each.units ?? rows;
  return {
    name: each.name,
    group: each.group ?? '',
    isRaw: each.isRaw ?? false,
    medianMs,
    minMs: Math.min(...samples),
    maxMs: Math.max(...samples),
    unit: each.unit ?? 'rows',
    units,
    unitsPerSecond: (units / medianMs) * 1000,
    ratioToRaw: medianMs / rawMs,
  };
}

/** The smallest value that at least 95 of 100 do not exceed. */
export function percentile95(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.ceil(sorted.length * 0.95) - 1] ?? Number.NaN;
}

/** The middle value; the mean of the two middle ones when their number is even. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  const lower = sorted[Math.ceil(sorted.length / 2) - 1] ?? upper;
  return (lower + upper) / 2;
}
