/**
 * Suites for people who write a driver or an adapter. They use no test framework: each case is a name and an async function that
 * rejects when the requirement is not met.
 */
export { adapterConformance } from './adapter-conformance.ts';
export type { AdapterUnderTest, ConformanceHandler } from './adapter-conformance.ts';
export { ConformanceError } from './conformance.ts';
export type { ConformanceCase } from './conformance.ts';
export { postgresConformance } from './postgres-conformance.ts';
