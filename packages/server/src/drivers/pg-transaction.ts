import { hash } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import type { ClientBase, CustomTypesConfig, QueryArrayConfig } from 'pg';
import { from as createCopyFrom, to as createCopyTo } from 'pg-copy-streams';

import { PgFault } from '../ports/postgres.ts';
import type { PgBegin, PgResult, PgStatement, PgTransaction, PgValue } from '../ports/postgres.ts';
import { toPgFault } from './pg-faults.ts';
import type { ConnectionStatements } from './pg-statements.ts';

export interface PgStatementOptions {
  /** Parameterised statements are named, so that their connection keeps them prepared; by default on direct connections. */
  readonly arePrepared: boolean | undefined;
}

const keepText = (text: string): string => text;

/** Leaves every value as PostgreSQL wrote it; the host's own type parsers never see our results. */
const TEXT_TYPES: CustomTypesConfig = { getTypeParser: () => keepText };

/** Number of the type `varchar`, the same in every database. */
const VARCHAR_OID = 1043;

/** Hands each `varchar` over instead of keeping it. */
function createTakingTypes(takeText: (text: string) => void): CustomTypesConfig {
  const take = (text: string): null => {
    takeText(text);
    return null;
  };
  return { getTypeParser: (oid: number) => (oid === VARCHAR_OID ? take : keepText) };
}

/** What the transaction needs to know about the connection it runs on. */
export interface TransactionConnection {
  readonly client: ClientBase;
  readonly signal: AbortSignal | undefined;
  /** The connection is in the middle of something and must not be used again. */
  markBroken(): void;
}

/** Names of the result that ends BEGIN and its settings; those of the caller's script follow. */
const [SESSION_COLUMN, ISOLATION_COLUMN] = ['oversync_session', 'transaction_isolation'];

/**
 * BEGIN with its settings, and a last statement by which its results are told from those that follow: the number of the session. A
 * repeatable-read transaction shows a setting instead, because its snapshot must not be taken before the caller's first statement.
 */
function formatBegin({ isolation, readOnly, settings }: PgBegin, isMarked: boolean): string {
  const mode = readOnly === true ? 'READ ONLY' : 'READ WRITE';
  const isFrozen = isolation === 'repeatable read';
  return [
    `BEGIN ISOLATION LEVEL ${isFrozen ? 'REPEATABLE READ' : 'READ COMMITTED'} ${mode}`,
    ...(settings === undefined ? [] : [settings]),
    ...(isMarked ? [formatMark(isFrozen)] : []),
  ].join(';');
}

function formatMark(isFrozen: boolean): string {
  return isFrozen ? `SHOW ${ISOLATION_COLUMN}` : `SELECT pg_catalog.pg_backend_pid() AS ${SESSION_COLUMN}`;
}

/**
 * A transaction whose BEGIN travels with its first script. One that never sends anything begins and ends without PostgreSQL.
 */
export class PgOpenTransaction implements PgTransaction {
  readonly #connection: TransactionConnection;
  readonly #options: PgStatementOptions;
  readonly #statements: ConnectionStatements;
  readonly #begin: PgBegin;
  #state: 'new' | 'open' | 'committed' = 'new';

  constructor(connection: TransactionConnection, options: PgStatementOptions, statements: ConnectionStatements, begin: PgBegin) {
    this.#connection = connection;
    this.#options = options;
    this.#statements = statements;
    this.#begin = begin;
  }

  get isCommitted(): boolean {
    return this.#state === 'committed';
  }

  async query(sql: string, params?: readonly PgValue[]): Promise<PgResult> {
    await this.#open();
    return runPgQuery(this.#connection.client, this.#options, this.#statements, sql, params);
  }

  script(sql: string): Promise<readonly PgResult[]> {
    return this.#send(sql);
  }

  async run(
    statements: readonly (string | PgStatement)[],
    commits: boolean,
    takeText?: (text: string) => void,
  ): Promise<readonly PgResult[]> {
    const script = statements.map((statement) => this.#statements.format(statement)).join(';');
    try {
      const types = takeText === undefined ? TEXT_TYPES : createTakingTypes(takeText);
      if (!commits) return await this.#send(script, statements.length, types);
      if (this.#isAlone) return await this.#runAlone(script, statements.length, types);
      const results = await this.#send(`${script};COMMIT`, statements.length + 1, types);
      this.#state = 'committed';
      return results.slice(0, -1);
    } catch (error) {
      if (error instanceof PgFault && error.sqlState === UNKNOWN_STATEMENT_STATE) this.#statements.forget();
      throw commits ? toCommitFault(error) : error;
    }
  }

  async copyFrom(sql: string, chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void> {
    await this.#open();
    await runCopyFrom(this.#connection.client, sql, chunks);
  }

  async *copyTo(sql: string): AsyncGenerator<Uint8Array> {
    await this.#open();
    yield* runCopyTo(this.#connection, sql);
  }

  /**
   * An aborted transaction answers COMMIT with ROLLBACK; that must not look like success. A fault with a SQLSTATE of its own
   * (a deferred constraint, a serialization failure) proves the rollback; only a lost connection leaves the outcome open.
   */
  async commit(): Promise<void> {
    if (this.#state !== 'open') return;
    let command: string;
    try {
      command = (await this.#connection.client.query('COMMIT')).command;
    } catch (error) {
      throw toCommitFault(toPgFault(error));
    }
    if (command !== 'COMMIT') throw new PgFault('the transaction had failed before COMMIT', { sqlState: '25P02' });
    this.#state = 'committed';
  }

  /** A connection that cannot even roll back must not reach its next user. */
  async rollBack(): Promise<void> {
    if (this.#state !== 'open') return;
    try {
      await this.#connection.client.query('ROLLBACK');
    } catch {
      this.#connection.markBroken();
    }
  }

  /**
   * Sends a script, with BEGIN in front if it is the first one. On a connection known to be direct the results of a script whose number
   * is known need no mark in front, which is a statement with a plan of its own; should the connection have changed, an EXECUTE fails.
   */
  async #send(sql: string, resultCount?: number, types = TEXT_TYPES): Promise<readonly PgResult[]> {
    this.#connection.signal?.throwIfAborted();
    if (this.#state !== 'new') return (await runPgScript(this.#connection.client, sql, types)).map(toPgResult);
    this.#state = 'open';
    const isMarked = resultCount === undefined || resultCount === 0 || !this.#statements.isDirect;
    const results = await runPgScript(this.#connection.client, `${formatBegin(this.#begin, isMarked)};${sql}`, types);
    if (!isMarked) return results.slice(-resultCount).map(toPgResult);
    const begun = results.findIndex(({ fields: [field] }) => field?.name === SESSION_COLUMN || field?.name === ISOLATION_COLUMN);
    if (results[begun]?.fields[0]?.name === SESSION_COLUMN) this.#noteSession(results[begun]);
    return results.slice(begun + 1).map(toPgResult);
  }

  /** The whole transaction is one message, and nothing has to tell its results apart. */
  get #isAlone(): boolean {
    return this.#begin.mayBeImplicit === true && this.#state === 'new' && this.#statements.isDirect;
  }

  /** PostgreSQL runs the statements of one message as one transaction, and answers the last of them when that is committed. */
  async #runAlone(sql: string, resultCount: number, types: CustomTypesConfig): Promise<readonly PgResult[]> {
    this.#connection.signal?.throwIfAborted();
    // Whatever becomes of it, nothing is left to roll back.
    this.#state = 'committed';
    const { settings } = this.#begin;
    const results = await runPgScript(this.#connection.client, settings === undefined ? sql : `${settings};${sql}`, types);
    return results.slice(-resultCount).map(toPgResult);
  }

  /** Sends BEGIN alone, for what cannot be part of a script. */
  async #open(): Promise<void> {
    this.#connection.signal?.throwIfAborted();
    if (this.#state === 'new') await this.#send('');
  }

  /** A pooler that shares sessions between transactions makes up the number of the session that it announces. */
  #noteSession(result: RawResult | undefined): void {
    const announced: unknown = Reflect.get(this.#connection.client, 'processID');
    this.#statements.isDirect = this.#options.arePrepared !== false && String(announced) === result?.rows[0]?.[0];
  }
}

/** EXECUTE of a statement that the session does not keep. */
const UNKNOWN_STATEMENT_STATE = '26000';

function toCommitFault(fault: unknown): unknown {
  if (!(fault instanceof PgFault)) return fault;
  const isOpen = fault.sqlState.startsWith('08') || fault.sqlState.startsWith('57P0');
  return isOpen ? new PgFault(fault.message, { sqlState: fault.sqlState, commitSent: true, cause: fault }) : fault;
}

export async function runPgQuery(
  client: ClientBase,
  options: PgStatementOptions,
  statements: ConnectionStatements,
  sql: string,
  params: readonly PgValue[] = [],
): Promise<PgResult> {
  const config: QueryArrayConfig<PgValue[]> = { text: sql, rowMode: 'array', types: TEXT_TYPES };
  if (params.length > 0) {
    config.values = [...params];
    if (options.arePrepared ?? statements.isDirect) config.name = getStatementName(sql);
  }
  try {
    const result = await client.query<(string | null)[]>(config);
    return { rows: result.rows, rowCount: result.rowCount ?? 0 };
  } catch (error) {
    const fault = toPgFault(error);
    if (config.name !== undefined && isStalePlan(fault)) renameStatement(sql);
    throw fault;
  }
}

async function runPgScript(client: ClientBase, sql: string, types: CustomTypesConfig): Promise<readonly RawResult[]> {
  const config: QueryArrayConfig = { text: sql, rowMode: 'array', types };
  try {
    const answer = await client.query<(string | null)[]>(config);
    return Array.isArray(answer) ? answer : [answer];
  } catch (error) {
    throw toPgFault(error);
  }
}

interface RawResult {
  readonly rows: readonly (readonly (string | null)[])[];
  readonly rowCount: number | null;
  readonly fields: readonly { readonly name: string }[];
}

function toPgResult(result: RawResult): PgResult {
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

/** The columns of the result have changed: on a connection that has prepared the statement before, that name never works again. */
function isStalePlan(fault: PgFault): boolean {
  return fault.sqlState === '0A000' && fault.message.includes('cached plan');
}

/** One fault is enough for all connections: from now on the text has a name that none of them knows. */
function renameStatement(sql: string): void {
  const [base = '', generation = '1'] = getStatementName(sql).split('_v');
  statementNames.set(sql, `${base}_v${String(Number(generation) + 1)}`);
}
