export { FAULT_STEPS } from '../ports/fault-points.ts';
export { sqliteDriverChecks } from './sqlite-driver-suite.ts';
export type { DriverCheck } from './sqlite-driver-suite.ts';
export { createFixedRandom, createVirtualClock } from './virtual-clock.ts';
export type { VirtualClock } from './virtual-clock.ts';
