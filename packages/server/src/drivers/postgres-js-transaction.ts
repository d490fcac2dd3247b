import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import type { PgFault, PgTransaction } from '../ports/postgres.ts';
import { parseCopyOut } from './copy-format.ts';
import { toPgFault } from './postgres-js-faults.ts';
import { createQuery, markScript, runInTransaction, splitResults, toPgResult } from './postgres-js-query.ts';
import type { StatementOptions } from './postgres-js-query.ts';
import type { Session } from './postgres-js-session.ts';

/** Bytes that one FETCH of a copied query aims at. */
const FETCH_BYTES = 1024 * 1024;

/** Rows of the first FETCH, when nothing is known about their size, and of any. */
const FIRST_FETCH_ROWS = 16;
const FETCH_ROWS_MAX = 10_000;

/** The port's transaction on a session of postgres.js. */
export class PostgresJsTransaction implements PgTransaction {
  readonly #session: Session;
  readonly #statements: StatementOptions;
  readonly #signal: AbortSignal | undefined;
  #cursorCount = 0;
  #hasFailed = false;

  constructor(session: Session, statements: StatementOptions, signal: AbortSignal | undefined) {
    this.#session = session;
    this.#statements = statements;
    this.#signal = signal;
  }

  /** True when a statement has failed: only PostgreSQL knows whether a savepoint has undone it. */
  get hasFailed(): boolean {
    return this.#hasFailed;
  }

  /** Runs statements whose results nobody needs. */
  async pin(settings: string): Promise<void> {
    await this.#run(this.#createScript(settings));
  }

  async query(...[sql, params]: Parameters<PgTransaction['query']>): ReturnType<PgTransaction['query']> {
    return toPgResult(await this.#run(createQuery(this.#session.tx, this.#statements, sql, params)));
  }

  async script(sql: string): ReturnType<PgTransaction['script']> {
    return splitResults(sql, await this.#run(this.#createScript(markScript(sql))));
  }

  /** A fault of the producer is passed on as it is; a fault of PostgreSQL becomes a `PgFault`. */
  async copyFrom(sql: string, chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void> {
    const producer: { fault?: { readonly error: unknown } } = {};
    // postgres.js forgets a fault that arrives when the last chunk is sent already, and its stream then never ends.
    const late = Promise.withResolvers<never>();
    late.promise.catch(() => {});
    const copy = await this.#run(this.#session.tx.unsafe(sql), late.reject);
    if (!(copy instanceof Writable)) throw new TypeError('the statement takes no rows');
    try {
      await Promise.race([pipeline(Readable.from(watchProducer(chunks, producer)), copy), late.promise]);
    } catch (error) {
      this.#hasFailed = true;
      if (producer.fault !== undefined) throw producer.fault.error;
      throw this.#note(toPgFault(error));
    }
  }

  /** Fetched with a cursor: after a stream of COPY, postgres.js never uses the connection again. */
  async *copyTo(sql: string): AsyncGenerator<Uint8Array> {
    const { query, opening, formatRow, closing } = parseCopyOut(sql);
    this.#cursorCount += 1;
    const cursor = `oversync_copy_${String(this.#cursorCount)}`;
    await this.#run(this.#createScript(`DECLARE ${cursor} NO SCROLL CURSOR FOR ${query}`));
    if (opening.byteLength > 0) yield opening;
    let fetchRows = FIRST_FETCH_ROWS;
    for (;;) {
      const rows = await this.#run(this.#createScript(`FETCH FORWARD ${String(fetchRows)} FROM ${cursor}`));
      const chunk = Buffer.concat(toRawRows(rows).map(formatRow));
      const rowCount = toRawRows(rows).length;
      if (rowCount > 0) yield chunk;
      if (rowCount < fetchRows) break;
      const fitting = Math.floor(FETCH_BYTES / Math.max(1, chunk.byteLength / rowCount));
      fetchRows = Math.min(Math.max(1, fitting), FETCH_ROWS_MAX);
    }
    await this.#run(this.#createScript(`CLOSE ${cursor}`));
    if (closing.byteLength > 0) yield closing;
  }

  /** Statements without parameters travel as they are, in one message. */
  #createScript(sql: string): PromiseLike<unknown> {
    return createQuery(this.#session.tx, this.#statements, sql, []);
  }

  async #run(query: PromiseLike<unknown>, onLateFault?: (error: unknown) => void): Promise<unknown> {
    this.#signal?.throwIfAborted();
    this.#session.check();
    try {
      const result = await runInTransaction(query, onLateFault);
      this.#session.noteBackend(Array.isArray(result) && Array.isArray(result[0]) && !('command' in result) ? result[0] : result);
      return result;
    } catch (error) {
      this.#hasFailed = true;
      throw this.#note(toPgFault(error));
    }
  }

  #note(fault: PgFault): PgFault {
    this.#session.noteFault(fault);
    return fault;
  }
}

function toRawRows(rows: unknown): readonly (Buffer | null)[][] {
  if (!Array.isArray(rows)) throw new TypeError('FETCH returned no rows');
  return rows.map((row: unknown) => {
    if (!Array.isArray(row)) throw new TypeError('postgres.js returned a row that is not raw');
    return row.map((value: unknown) => (Buffer.isBuffer(value) ? value : null));
  });
}

async function* watchProducer(
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  producer: { fault?: { readonly error: unknown } },
): AsyncGenerator<Uint8Array> {
  try {
    yield* chunks;
  } catch (error) {
    producer.fault = { error };
    throw error;
  }
}
