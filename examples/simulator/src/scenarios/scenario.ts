import type { Simulation } from '../simulation.ts';

/** Does one thing that applications do, and throws where it does not come out as it should. */
export type Scenario = (simulation: Simulation) => Promise<void>;
