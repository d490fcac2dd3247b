import type { SqliteTx } from './sqlite-driver.ts';

/**
 * Durable steps of the engine. Each is one transaction, or several of the same kind, and leaves a state from which the next start goes on
 * (client.md 5.7).
 */
export const FAULT_STEPS = [
  'open',
  'connect',
  'replacement',
  'stage',
  'apply',
  'freeze',
  'committed',
  'replay',
  'conflict',
  'rejection',
  'spill',
  'pull',
  'checkpoint',
  'source',
  'lease',
  'reseed',
  'detach',
  'uninstall',
  'quarantine',
] as const;

export type FaultStep = (typeof FAULT_STEPS)[number];

/** Where in a step: nothing has happened yet, all is written but not committed, the commit has taken effect. */
export type FaultMoment = 'beforeTransaction' | 'beforeCommit' | 'afterCommit';

/** A place where a test may interfere. `push.…` surround the request that commits, `apply.afterPage` follows a page of a snapshot. */
export type FaultPoint = `${FaultStep}.${FaultMoment}` | 'push.beforeCommit' | 'push.afterCommit' | 'apply.afterPage';

/**
 * A port for tests of what an application does when the client dies or is slow: called at every fault point, it may throw, wait, or run
 * SQL through `sql`, which is the open transaction where there is one.
 */
export type FaultPoints = (point: FaultPoint, sql: SqliteTx) => void | Promise<void>;
