import type { ISql, PendingRawQuery, Row } from 'postgres';

import type { PgResult, PgValue } from '../ports/postgres.ts';
import { splitStatements } from '../rules/statement-guard.ts';
import { formatParam } from './param-text.ts';
import { toPgFault } from './postgres-js-faults.ts';

export interface StatementOptions {
  /** Parameterised statements are named, so that their connection keeps them prepared. */
  readonly arePrepared: boolean;
}

/**
 * Type number of `unknown`: PostgreSQL finds the type from the statement, as if none had been given, and postgres.js, which would look
 * for a serializer of the type found, leaves the text as it is.
 */
const UNKNOWN_TYPE = 705;

type RawQuery = PendingRawQuery<Row[]>;

/** One statement, whose values stay the bytes that PostgreSQL sent: neither parsers nor transforms of the host see them. */
export function createQuery(
  sql: ISql,
  statements: StatementOptions,
  text: string,
  params: readonly PgValue[] | undefined,
): RawQuery {
  const values = (params ?? []).map((value) => sql.typed(formatParam(value), UNKNOWN_TYPE));
  return sql.unsafe<Row[]>(text, values, { prepare: statements.arePrepared && values.length > 0 }).raw();
}

/** The error of a query, as its result: see {@link runInTransaction}. */
class Failure {
  readonly error: unknown;
  constructor(error: unknown) {
    this.error = error;
  }
}

/**
 * Runs a query inside `sql.begin`. There, postgres.js remembers the first query that rejects and fails the whole transaction with it,
 * although a savepoint may have undone it; so the query is made to resolve to its error.
 *
 * @throws PgFault
 */
export async function runInTransaction(query: PromiseLike<unknown>, onLateFault?: (error: unknown) => void): Promise<unknown> {
  const resolve: unknown = Reflect.get(query, 'resolve');
  Reflect.set(query, 'reject', (error: unknown) => {
    if (typeof resolve === 'function') Reflect.apply(resolve, query, [new Failure(error)]);
    onLateFault?.(error);
  });
  const answer: unknown = await query;
  if (answer instanceof Failure) throw toPgFault(answer.error);
  return answer;
}

/** Turns the result of one raw query into text. */
export function toPgResult(result: unknown): PgResult {
  if (!Array.isArray(result)) throw new TypeError('postgres.js returned something else than rows');
  const rows = result.map(toTextRow);
  return { rows, rowCount: readCount(result) ?? rows.length };
}

function toTextRow(row: unknown): (string | null)[] {
  if (!Array.isArray(row)) throw new TypeError('postgres.js returned a row that is not raw');
  return row.map((value: unknown) => {
    if (value === null) return null;
    if (Buffer.isBuffer(value)) return value.toString('utf8');
    throw new TypeError('postgres.js parsed a value although it was told not to');
  });
}

function readCount(result: object): number | undefined {
  const count: unknown = Reflect.get(result, 'count');
  return typeof count === 'number' ? count : undefined;
}

/**
 * postgres.js keeps one result per statement that returns rows, and adds every other statement to the result before it. A SHOW between
 * two statements returns a row and no count, so the second one either follows it with a result of its own or leaves its count in it.
 * None stands in front of the first statement, which may be the ROLLBACK TO that makes the transaction usable again.
 */
const MARKER = 'SHOW transaction_read_only';
const MARKER_COMMAND = 'SHOW';

/** The text of a script whose results can be told apart by {@link splitResults}. */
export function markScript(sql: string): string {
  return splitStatements(sql).join(`;${MARKER};`);
}

/** One result per statement of a marked script. */
export function splitResults(sql: string, answer: unknown): readonly PgResult[] {
  const count = splitStatements(sql).length;
  if (count === 0) return [];
  const results: readonly unknown[] = Array.isArray(answer) && !('command' in answer) ? answer : [answer];
  const found = [toPgResult(results[0])];
  for (let index = 1; found.length < count; index += 1) {
    const marker = results[index];
    if (typeof marker !== 'object' || marker === null) throw new TypeError('postgres.js lost the result of a statement');
    if (Reflect.get(marker, 'command') === MARKER_COMMAND) {
      index += 1;
      found.push(toPgResult(results[index]));
    } else {
      found.push({ rows: [], rowCount: readCount(marker) ?? 0 });
    }
  }
  return found;
}
