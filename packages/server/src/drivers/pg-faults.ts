import { PgFault } from '../ports/postgres.ts';

const SQLSTATE_PATTERN = /^[0-9A-Z]{5}$/;
const CONNECTION_LOST = '08006';
const POOL_EXHAUSTED = '53300';
const INTERNAL_ERROR = 'XX000';

/**
 * What node-postgres says, without a code, when its connection is gone. After its own `query_timeout` the answer may still come, so the
 * connection is of no use to anybody either.
 */
const CONNECTION_MESSAGES =
  /connection (?:terminated|error|ended)|not queryable|client was closed|after calling end on the pool|query read timeout/i;

/** Translates whatever node-postgres or the socket below it throws. A {@link PgFault} is returned as it is. */
export function toPgFault(error: unknown, phase: 'connect' | 'query' = 'query'): PgFault {
  if (error instanceof PgFault) return error;
  if (!(error instanceof Error))
    return new PgFault('the PostgreSQL driver threw a value', { sqlState: INTERNAL_ERROR, cause: error });
  const code = readText(error, 'code');
  if (code !== undefined && SQLSTATE_PATTERN.test(code) && readText(error, 'severity') !== undefined)
    return toServerFault(error, code);
  return new PgFault(error.message, { sqlState: guessSqlState(error, code, phase), cause: error });
}

function toServerFault(error: Error, sqlState: string): PgFault {
  return new PgFault(error.message, {
    sqlState,
    schema: readText(error, 'schema'),
    table: readText(error, 'table'),
    column: readText(error, 'column'),
    constraint: readText(error, 'constraint'),
    detail: readText(error, 'detail'),
    where: readText(error, 'where'),
    cause: error,
  });
}

function guessSqlState(error: Error, code: string | undefined, phase: 'connect' | 'query'): string {
  if (/timeout exceeded when trying to connect/i.test(error.message)) return POOL_EXHAUSTED;
  if (code !== undefined && /^E[A-Z_]+$/.test(code)) return CONNECTION_LOST;
  if (phase === 'connect' || CONNECTION_MESSAGES.test(error.message)) return CONNECTION_LOST;
  return INTERNAL_ERROR;
}

function readText(holder: object, name: string): string | undefined {
  const value: unknown = Reflect.get(holder, name);
  return typeof value === 'string' ? value : undefined;
}
