import { PgFault } from '../ports/postgres.ts';

/** SQLSTATE classes whose messages and details quote the data at hand: conversions, constraints, errors raised by triggers. */
const QUOTING_CLASSES: readonly string[] = ['22', '23', '44', 'P0', 'OV'];

/** What may be logged about a fault; its chain of causes is kept, its data is not. */
export interface FaultDescription {
  readonly name: string;
  readonly message?: string;
  readonly sqlState?: string;
  readonly schema?: string;
  readonly table?: string;
  readonly column?: string;
  readonly constraint?: string;
  readonly stack?: string;
  readonly cause?: FaultDescription;
}

const CAUSES_MAX = 5;

/**
 * The part of an error that holds no payload, key or parameter: PostgreSQL quotes values in messages of some classes and in every
 * detail, so these are left out.
 */
export function describeFault(thrown: unknown, depth = 0): FaultDescription {
  if (!(thrown instanceof Error)) return { name: typeof thrown };
  if (thrown instanceof PgFault) return describePgFault(thrown);
  const { name, message, stack, cause } = thrown;
  const described = { name, message, ...(stack === undefined ? {} : { stack }) };
  return cause === undefined || depth >= CAUSES_MAX ? described : { ...described, cause: describeFault(cause, depth + 1) };
}

function describePgFault(fault: PgFault): FaultDescription {
  const { name, sqlState, message, schema, table, column, constraint } = fault;
  const isQuoting = QUOTING_CLASSES.some((prefix) => sqlState.startsWith(prefix));
  return {
    name,
    sqlState,
    ...(isQuoting ? {} : { message }),
    ...(schema === undefined ? {} : { schema }),
    ...(table === undefined ? {} : { table }),
    ...(column === undefined ? {} : { column }),
    ...(constraint === undefined ? {} : { constraint }),
  };
}
