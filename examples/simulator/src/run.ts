import type { Environment } from './environment.ts';
import { makeReport } from './report.ts';
import type { ScenarioResult, SimulationReport } from './report.ts';
import { PARALLEL_SCENARIO, SCENARIOS } from './scenarios/index.ts';
import type { Scenario } from './scenarios/scenario.ts';
import { Simulation } from './simulation.ts';
import type { SimulationSettings } from './simulation.ts';
import { serverCounts } from './verify.ts';

export interface RunOptions extends SimulationSettings {
  /** Names of scenarios, run one after the other. */
  readonly scenarios: readonly string[];
  /** Above 1: so many users run the parallel scenario at once, and `scenarios` is not looked at. */
  readonly parallel: number;
  readonly onResult?: (result: ScenarioResult) => void;
}

/** The names that a value of `--scenario` stands for. Throws for a name that no scenario has. */
export function selectScenarios(selection: string): readonly string[] {
  const names = Object.keys(SCENARIOS);
  if (selection === 'all') return names;
  if (selection === 'watch-all') return names.filter((name) => name.startsWith('watch-'));
  if (!names.includes(selection)) throw new Error(`unknown scenario ${selection}; known are all, watch-all, ${names.join(', ')}`);
  return [selection];
}

/** Runs scenarios and reports each one as it really ended. */
export async function runSimulation(environment: Environment, options: RunOptions): Promise<SimulationReport> {
  const startedAt = new Date();
  const start = performance.now();
  const run = async (name: string): Promise<ScenarioResult> => {
    const result = await runScenario(environment, options, name, scenarioOf(name));
    options.onResult?.(result);
    return result;
  };
  const results: ScenarioResult[] = [];
  if (options.parallel > 1) {
    const users = Array.from({ length: options.parallel }, () => run(PARALLEL_SCENARIO));
    results.push(...(await Promise.all(users)));
  } else for (const name of options.scenarios) results.push(await run(name));
  return makeReport(startedAt, performance.now() - start, results);
}

function scenarioOf(name: string): Scenario {
  const scenario = SCENARIOS[name];
  if (scenario === undefined) throw new Error(`unknown scenario ${name}`);
  return scenario;
}

/** Runs one scenario and everything that ends with it; a failure to clean up fails it too. */
export async function runScenario(
  environment: Environment,
  settings: SimulationSettings,
  name: string,
  scenario: Scenario,
): Promise<ScenarioResult> {
  const start = performance.now();
  const simulation = new Simulation(environment, settings, name);
  let error: Error | undefined;
  let counts: Readonly<Record<string, number>> = {};
  try {
    await scenario(simulation);
  } catch (failure) {
    error = asError(failure);
  }
  try {
    counts = { ...(await simulation.counts()), ...(await sumOfRows(environment, simulation)) };
    await simulation.end();
  } catch (failure) {
    error ??= asError(failure);
  }
  const durationMs = Math.round(performance.now() - start);
  if (error === undefined) return { scenario: name, status: 'passed', durationMs, counts };
  return { scenario: name, status: 'failed', durationMs, counts, error: error.message };
}

function asError(failure: unknown): Error {
  return failure instanceof Error ? failure : new Error(String(failure));
}

/** Rows of all users of the run on the server, per table that has any. */
async function sumOfRows(environment: Environment, simulation: Simulation): Promise<Readonly<Record<string, number>>> {
  const sums: Record<string, number> = {};
  for (const user of simulation.users) {
    for (const [table, count] of Object.entries(await serverCounts(environment, user))) {
      if (count > 0) sums[`server.${table}`] = (sums[`server.${table}`] ?? 0) + count;
    }
  }
  return sums;
}
