import { PgFault } from '../ports/postgres.ts';

const SQLSTATE_PATTERN = /^[0-9A-Z]{5}$/;
const CONNECTION_LOST = '08006';
const INTERNAL_ERROR = 'XX000';

/** What postgres.js and the socket below it report when there is no connection, or no longer. */
const CONNECTION_CODES = /^(?:CONNECTION_[A-Z]+|CONNECT_TIMEOUT|E[A-Z_]+)$/;

/** Translates whatever postgres.js throws. A {@link PgFault} is returned as it is. */
export function toPgFault(error: unknown, phase: 'connect' | 'query' = 'query'): PgFault {
  if (error instanceof PgFault) return error;
  if (!(error instanceof Error))
    return new PgFault('the PostgreSQL driver threw a value', { sqlState: INTERNAL_ERROR, cause: error });
  const code = readText(error, 'code') ?? '';
  if (SQLSTATE_PATTERN.test(code) && readText(error, 'severity') !== undefined) return toServerFault(error, code);
  const isLost = phase === 'connect' || CONNECTION_CODES.test(code);
  return new PgFault(error.message, { sqlState: isLost ? CONNECTION_LOST : INTERNAL_ERROR, cause: error });
}

/** A fault after which the connection cannot be used: neither another statement nor ROLLBACK would reach PostgreSQL. */
export function isConnectionLost(fault: PgFault): boolean {
  return fault.sqlState.startsWith('08') || fault.sqlState.startsWith('57P');
}

function toServerFault(error: Error, sqlState: string): PgFault {
  return new PgFault(error.message, {
    sqlState,
    schema: readText(error, 'schema_name'),
    table: readText(error, 'table_name'),
    column: readText(error, 'column_name'),
    constraint: readText(error, 'constraint_name'),
    detail: readText(error, 'detail'),
    where: readText(error, 'where'),
    cause: error,
  });
}

function readText(holder: object, name: string): string | undefined {
  const value: unknown = Reflect.get(holder, name);
  return typeof value === 'string' ? value : undefined;
}
