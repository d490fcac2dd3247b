export { type Environment, type EnvironmentOptions, openEnvironment } from './environment.ts';
export type { ScenarioResult, SimulationReport } from './report.ts';
export { runSimulation, type RunOptions, selectScenarios } from './run.ts';
export { SCENARIOS } from './scenarios/index.ts';
