/** PGlite behind the port {@link Postgres}: PostgreSQL inside the process, one transaction at a time. */
import type { ParserOptions, PGlite, Results, Transaction } from '@electric-sql/pglite';

import type { PgBegin, PgResult, PgTransaction, PgValue, Postgres } from '../ports/postgres.ts';
import { formatParam } from './param-text.ts';
import { toPgFault } from './pg-faults.ts';
import { createTextParsers, serializers } from './pglite-values.ts';

/**
 * Wraps a PGlite instance, for tests and for single-process tools. Transactions of all callers wait for each other, the host's own
 * queries included, so it is no substitute for a PostgreSQL server under load.
 *
 * @example
 * ```ts
 * const database = createPgliteDatabase(await PGlite.create());
 * ```
 */
export function createPgliteDatabase(pglite: PGlite): Postgres {
  return {
    features: { concurrentTransactions: false },
    transaction: (begin, fn) => runTransaction(pglite, begin, fn),
    query: (sql, params) => runQuery(pglite, createTextParsers(pglite), sql, params),
  };
}

async function runTransaction<T>(pglite: PGlite, begin: PgBegin, fn: (tx: PgTransaction) => Promise<T>): Promise<T> {
  begin.signal?.throwIfAborted();
  const outcome: { thrown?: { readonly error: unknown } } = {};
  try {
    return await pglite.transaction(async (tx) => {
      try {
        // PGlite sends BEGIN itself; nothing has taken a snapshot yet.
        await tx.exec(formatMode(begin));
        const value = await fn(createTransaction(tx, createTextParsers(pglite), begin.signal));
        begin.signal?.throwIfAborted();
        return value;
      } catch (error) {
        outcome.thrown = { error };
        throw error;
      }
    });
  } catch (error) {
    // What the body threw is passed on as it is; anything else happened at BEGIN or COMMIT.
    throw outcome.thrown === undefined ? toPgFault(error) : toOwnFault(outcome.thrown.error);
  }
}

function formatMode(begin: PgBegin): string {
  const level = begin.isolation === 'repeatable read' ? 'REPEATABLE READ' : 'READ COMMITTED';
  const mode = `SET TRANSACTION ISOLATION LEVEL ${level} ${begin.readOnly === true ? 'READ ONLY' : 'READ WRITE'}`;
  return begin.settings === undefined ? mode : `${mode};${begin.settings}`;
}

/** Faults of PostgreSQL carry a severity; everything else came from the caller. */
function toOwnFault(error: unknown): unknown {
  return error instanceof Error && 'severity' in error ? toPgFault(error) : error;
}

function createTransaction(tx: Transaction, parsers: ParserOptions, signal: AbortSignal | undefined): PgTransaction {
  return {
    query: (sql, params) => {
      signal?.throwIfAborted();
      return runQuery(tx, parsers, sql, params);
    },
    script: async (sql) => {
      signal?.throwIfAborted();
      return runScript(tx, parsers, sql);
    },
    copyFrom: async (sql, chunks) => {
      signal?.throwIfAborted();
      await runCopyFrom(tx, sql, chunks);
    },
    copyTo: (sql) => runCopyTo(tx, sql, signal),
  };
}

type Queryable = Pick<Transaction, 'query'>;

async function runQuery(
  target: Queryable,
  parsers: ParserOptions,
  sql: string,
  params: readonly PgValue[] = [],
): Promise<PgResult> {
  try {
    return toPgResult(await target.query(sql, params.map(formatParam), { rowMode: 'array', parsers, serializers }));
  } catch (error) {
    throw toPgFault(error);
  }
}

async function runScript(tx: Transaction, parsers: ParserOptions, sql: string): Promise<readonly PgResult[]> {
  try {
    const results = await tx.exec(sql, { rowMode: 'array', parsers });
    return results.map(toPgResult);
  } catch (error) {
    throw toPgFault(error);
  }
}

function toPgResult(result: Results): PgResult {
  const rows = result.rows.map(toTextRow);
  return { rows, rowCount: result.rowCount ?? rows.length };
}

function toTextRow(row: unknown): (string | null)[] {
  if (!Array.isArray(row)) throw new TypeError('PGlite returned a row that is not an array');
  return row.map((value: unknown) => {
    if (value === null || typeof value === 'string') return value;
    throw new TypeError('PGlite parsed a value although it was told not to');
  });
}

/** PGlite has no COPY protocol; it reads from and writes to a file of its own. */
const BLOB_FILE = `'/dev/blob'`;

async function runCopyFrom(
  tx: Transaction,
  sql: string,
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for await (const chunk of chunks) parts.push(new Uint8Array(chunk));
  try {
    await tx.query(sql.replace(/\bFROM\s+STDIN\b/i, `FROM ${BLOB_FILE}`), [], { blob: new Blob(parts) });
  } catch (error) {
    throw toPgFault(error);
  }
}

async function* runCopyTo(tx: Transaction, sql: string, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  signal?.throwIfAborted();
  const blob = await readBlob(tx, sql);
  if (blob !== undefined) yield new Uint8Array(await blob.arrayBuffer());
}

async function readBlob(tx: Transaction, sql: string): Promise<Blob | undefined> {
  try {
    return (await tx.query(sql.replace(/\bTO\s+STDOUT\b/i, `TO ${BLOB_FILE}`))).blob;
  } catch (error) {
    throw toPgFault(error);
  }
}
