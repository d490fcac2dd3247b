export { sqliteDriverChecks } from './sqlite-driver-suite.ts';
export type { DriverCheck } from './sqlite-driver-suite.ts';
