import { hash } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import type { ClientBase, CustomTypesConfig, QueryArrayConfig } from 'pg';
import { from as createCopyFrom, to as createCopyTo } from 'pg-copy-streams';

import type { PgResult, PgTransaction, PgValue } from '../ports/postgres.ts';
import { toPgFault } from './pg-faults.ts';

export interface PgStatementOptions {
  /** Parameterised statements are named, so that their connection keeps them prepared. */
  readonly arePrepared: boolean;
}

const keepText = (text: string): string => text;

/** Leaves every value as PostgreSQL wrote it; the host's own type parsers never see our results. */
const TEXT_TYPES: CustomTypesConfig = { getTypeParser: () => keepText };

/** What the transaction needs to know about the connection it runs on. */
export interface TransactionConnection {
  readonly client: ClientBase;
  readonly signal: AbortSignal | undefined;
  /** The connection is in the middle of something and must not be used again. */
  markBroken(): void;
}

export function createPgTransaction(connection: TransactionConnection, statements: PgStatementOptions): PgTransaction {
  const { client, signal } = connection;
  return {
    query: async (sql, params) => {
      signal?.throwIfAborted();
      return runPgQuery(client, statements, sql, params);
    },
    script: async (sql) => {
      signal?.throwIfAborted();
      return runPgScript(client, sql);
    },
    copyFrom: async (sql, chunks) => {
      signal?.throwIfAborted();
      await runCopyFrom(client, sql, chunks);
    },
    copyTo: (sql) => runCopyTo(connection, sql),
  };
}

export async function runPgQuery(
  client: ClientBase,
  statements: PgStatementOptions,
  sql: string,
  params: readonly PgValue[] = [],
): Promise<PgResult> {
  const config: QueryArrayConfig<PgValue[]> = { text: sql, rowMode: 'array', types: TEXT_TYPES };
  if (params.length > 0) {
    config.values = [...params];
    if (statements.arePrepared) config.name = getStatementName(sql);
  }
  try {
    const result = await client.query<(string | null)[]>(config);
    return { rows: result.rows, rowCount: result.rowCount ?? 0 };
  } catch (error) {
    throw toPgFault(error);
  }
}

async function runPgScript(client: ClientBase, sql: string): Promise<readonly PgResult[]> {
  const config: QueryArrayConfig = { text: sql, rowMode: 'array', types: TEXT_TYPES };
  try {
    const answer: unknown = await client.query(config);
    const results = Array.isArray(answer) ? answer : [answer];
    return results.map(toPgResult);
  } catch (error) {
    throw toPgFault(error);
  }
}

function toPgResult(result: { rows: (string | null)[][]; rowCount: number | null }): PgResult {
  return { rows: result.rows, rowCount: result.rowCount ?? 0 };
}

/** A fault of the producer is passed on as it is; a fault of PostgreSQL becomes a `PgFault`. */
async function runCopyFrom(
  client: ClientBase,
  sql: string,
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  const producer: { fault?: { readonly error: unknown } } = {};
  const readable = Readable.from(watchProducer(chunks, producer));
  try {
    await pipeline(readable, client.query(createCopyFrom(sql)));
  } catch (error) {
    if (producer.fault !== undefined) throw producer.fault.error;
    throw toPgFault(error);
  }
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

/** Stopping early leaves rows on the wire that nobody reads, so the connection is given up then. */
async function* runCopyTo(connection: TransactionConnection, sql: string): AsyncGenerator<Uint8Array> {
  connection.signal?.throwIfAborted();
  const stream = connection.client.query(createCopyTo(sql));
  // A stream that was left early can still fail when its connection is destroyed; nobody listens then.
  stream.on('error', () => {});
  let isComplete = false;
  try {
    for await (const chunk of stream) yield toBytes(chunk);
    isComplete = true;
  } catch (error) {
    isComplete = true;
    throw toPgFault(error);
  } finally {
    if (!isComplete) connection.markBroken();
  }
}

function toBytes(chunk: unknown): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk;
  throw new TypeError('COPY delivered something else than bytes');
}

/** Statements beyond this many distinct texts would only fill the connections' memory. */
const STATEMENT_NAMES_MAX = 1000;
const statementNames = new Map<string, string>();

/** Equal text, equal name, in every process: poolers that track prepared statements share them. */
function getStatementName(sql: string): string {
  const known = statementNames.get(sql);
  if (known !== undefined) return known;
  if (statementNames.size >= STATEMENT_NAMES_MAX) statementNames.clear();
  const name = `oversync_${hash('sha256', sql).slice(0, 32)}`;
  statementNames.set(sql, name);
  return name;
}
