/**
 * The port through which the server reaches PostgreSQL. A driver wraps the host's own pool; nothing above this file knows
 * which one. All values travel as text in both directions, so that no number is ever rounded on the way.
 */

/** A parameter: text, SQL NULL, raw bytes (`bytea`), or an array of text values (`text[]` and what casts from it). */
export type PgValue = string | null | Uint8Array | readonly (string | null)[];

/** One row as text values in column order; `null` is SQL NULL. */
export type PgRow = readonly (string | null)[];

export interface PgResult {
  readonly rows: readonly PgRow[];
  /** Rows returned or affected, as PostgreSQL reports them. */
  readonly rowCount: number;
}

/** A statement that comes again with other values, so that a driver can keep it prepared. */
export interface PgStatement {
  /** The statement with `$1 …`; the same whatever the values are. */
  readonly text: string;
  /** SQL types of the parameters, in order. */
  readonly types: readonly string[];
  /** The values as SQL literals, in order. */
  readonly literals: readonly string[];
  /** The statement with the literals in place of the parameters. */
  readonly inline: string;
}

/** Queries inside one open transaction. Every call is one round trip. */
export interface PgTransaction {
  /** One statement with parameters `$1 …`. Driver faults arrive as {@link PgFault}. */
  query(sql: string, params?: readonly PgValue[]): Promise<PgResult>;
  /** Several statements without parameters in one round trip; one result per statement. */
  script(sql: string): Promise<readonly PgResult[]>;
  /**
   * Statements in one round trip, one result per element; a text is a single statement. With `commits` the transaction is committed
   * in the same round trip, and nothing may follow unless it rejects: then the transaction is still open, and faults are those of
   * {@link Postgres.transaction}. Optional: without it `script` and a COMMIT of its own do the same.
   *
   * `takeText` is for texts that together are too large to be kept: it gets each value of type `varchar` when it arrives, while PostgreSQL
   * goes on with the rest, and the result has NULL in its place. It must not throw.
   */
  run?(
    statements: readonly (string | PgStatement)[],
    commits: boolean,
    takeText?: (text: string) => void,
  ): Promise<readonly PgResult[]>;
  /**
   * `COPY … FROM STDIN` in any format, binary included; resolves when PostgreSQL has taken the last chunk. A chunk is the driver's until
   * then, and not one moment longer.
   */
  copyFrom(sql: string, chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void>;
  /** `COPY … TO STDOUT`; chunks arrive as PostgreSQL sends them and may cut a row anywhere. Must be read to its end or returned. */
  copyTo(sql: string): AsyncIterable<Uint8Array>;
}

export interface PgBegin {
  readonly isolation: 'read committed' | 'repeatable read';
  readonly readOnly?: boolean;
  /** Statements sent in the same round trip as BEGIN (pinned settings and context). */
  readonly settings?: string;
  /**
   * Where all of the transaction is one `run` that commits, a driver may leave BEGIN and COMMIT out. Isolation and mode are then those of
   * the session, which the statements have to look at themselves.
   */
  readonly mayBeImplicit?: boolean;
  /** Aborts the transaction: a running statement is cancelled and the transaction rolled back. */
  readonly signal?: AbortSignal;
}

export interface Postgres {
  /**
   * Runs `fn` in one transaction on one pooled connection. A throw rolls back and is passed on. A fault at COMMIT rejects with a
   * {@link PgFault} whose `commitSent` is true, so that the caller knows that the outcome is open.
   */
  transaction<T>(begin: PgBegin, fn: (tx: PgTransaction) => Promise<T>): Promise<T>;
  /** One autocommit statement. */
  query(sql: string, params?: readonly PgValue[]): Promise<PgResult>;
  /** What this driver can do beyond the minimum. */
  readonly features: { readonly concurrentTransactions: boolean };
}

/** A dedicated connection for LISTEN; separate from the pool because a transaction pooler cannot carry it. */
export interface PgListener {
  /** Resolves when LISTEN is active. `onEnd` is called once when the connection ends for whatever reason. */
  listen(
    channel: string,
    onPayload: (payload: string) => void,
    onEnd: (cause?: unknown) => void,
  ): Promise<{ close(): Promise<void> }>;
}

/** Every fault of a driver, translated into the few facts that the server decides on. */
export class PgFault extends Error {
  override readonly name = 'PgFault';
  /** SQLSTATE, or `08006` for a lost connection and `53300` for an exhausted pool where the driver gives none. */
  readonly sqlState: string;
  /** True when COMMIT had been sent: the transaction may or may not be durable. */
  readonly commitSent: boolean;
  readonly schema: string | undefined;
  readonly table: string | undefined;
  readonly column: string | undefined;
  readonly constraint: string | undefined;
  readonly detail: string | undefined;
  /** PL/pgSQL context lines; tells whether an application trigger raised the error. */
  readonly where: string | undefined;

  constructor(
    message: string,
    facts: {
      readonly sqlState: string;
      readonly commitSent?: boolean;
      readonly schema?: string | undefined;
      readonly table?: string | undefined;
      readonly column?: string | undefined;
      readonly constraint?: string | undefined;
      readonly detail?: string | undefined;
      readonly where?: string | undefined;
      readonly cause?: unknown;
    },
  ) {
    super(message, { cause: facts.cause });
    this.sqlState = facts.sqlState;
    this.commitSent = facts.commitSent ?? false;
    this.schema = facts.schema;
    this.table = facts.table;
    this.column = facts.column;
    this.constraint = facts.constraint;
    this.detail = facts.detail;
    this.where = facts.where;
  }
}
