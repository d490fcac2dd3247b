/** What became of one run of one scenario. */
export interface ScenarioResult {
  readonly scenario: string;
  readonly status: 'passed' | 'failed';
  readonly durationMs: number;
  readonly counts: Readonly<Record<string, number>>;
  readonly error?: string;
}

/** What the option `--output` writes. */
export interface SimulationReport {
  readonly status: 'passed' | 'failed';
  readonly startedAt: string;
  readonly durationMs: number;
  readonly passed: number;
  readonly failed: number;
  readonly scenarios: readonly ScenarioResult[];
}

/** Sums the results up: passed only when there are some and none failed. */
export function makeReport(startedAt: Date, durationMs: number, scenarios: readonly ScenarioResult[]): SimulationReport {
  const failed = scenarios.filter((result) => result.status === 'failed').length;
  return {
    status: failed === 0 && scenarios.length > 0 ? 'passed' : 'failed',
    startedAt: startedAt.toISOString(),
    durationMs: Math.round(durationMs),
    passed: scenarios.length - failed,
    failed,
    scenarios,
  };
}
