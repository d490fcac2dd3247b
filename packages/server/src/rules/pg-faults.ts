import type { PgFault } from '../ports/postgres.ts';

/**
 * Serialization failure, deadlock, lock time-out, cancelled by a time-out, a prepared statement that somebody has thrown away, and
 * the time-outs of the host's own for idle and for whole transactions, which end the connection.
 */
const TRANSIENT_STATES: ReadonlySet<string> = new Set(['40001', '40P01', '55P03', '57014', '26000', '25P03', '25P04']);

/** Lost connections, resources exhausted, server going down or not yet up. */
const TRANSIENT_PREFIXES = ['08', '53', '57P0'] as const;

/** A fault that may be gone a moment later, so the same transaction is worth another attempt. */
export function isTransientFault(fault: PgFault): boolean {
  return (
    isStalePlanFault(fault) ||
    TRANSIENT_STATES.has(fault.sqlState) ||
    TRANSIENT_PREFIXES.some((prefix) => fault.sqlState.startsWith(prefix))
  );
}

/** A fault whose time was spent waiting for a lock. */
export function isLockFault(fault: PgFault): boolean {
  return fault.sqlState === '55P03' || fault.sqlState === '40P01';
}

const CACHED_PLAN_STATE = '0A000';

/** A fault that a table changed since the catalog was read explains: column gone, type changed, cached plan out of date. */
export function isCatalogFault(fault: PgFault): boolean {
  if (fault.sqlState === '42703' || fault.sqlState === '42804') return true;
  return isStalePlanFault(fault);
}

/** A prepared statement whose columns have changed: it never works again on its connection, but does on another. */
export function isStalePlanFault(fault: PgFault): boolean {
  return fault.sqlState === CACHED_PLAN_STATE && fault.message.includes('cached plan');
}
