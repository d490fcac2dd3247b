/** Which statements a connection of node-postgres keeps prepared for scripts, where parameters are no option. */
import { hash } from 'node:crypto';

import type { PgStatement } from '../ports/postgres.ts';

/** Each costs memory of its backend, and the column sets of pushes are the clients' choice. */
const STATEMENTS_PER_CONNECTION_MAX = 256;

/** Told apart from the statements that node-postgres names itself. */
const NAME_PREFIX = 'oversync_s_';

/** Names of the statements that the session keeps, for {@link ConnectionStatements.resume}. */
export const SELECT_PREPARED_SQL = `SELECT name FROM pg_catalog.pg_prepared_statements WHERE name LIKE 'oversync\\_s\\_%'`;

/**
 * The prepared statements of one session. PREPARE outlives a rollback and a fault does not tell how far a script came, so after one
 * nothing new is prepared until the session was asked.
 */
export class ConnectionStatements {
  readonly #names = new Set<string>();
  #isInDoubt = false;
  /** The session is ours alone: nothing between us and PostgreSQL hands our transactions to other sessions. */
  isDirect = false;

  get isInDoubt(): boolean {
    return this.#isInDoubt;
  }

  /** What is sent for one statement; the last text gives the result. `newNames` takes what the script prepares on the way. */
  format(statement: string | PgStatement, newNames: Set<string>): readonly string[] {
    if (typeof statement === 'string') return [statement];
    if (!this.isDirect) return [statement.inline];
    const name = getName(statement.text);
    const execute = formatExecute(name, statement.literals);
    if (this.#names.has(name) || newNames.has(name)) return [execute];
    if (this.#isInDoubt || this.#names.size + newNames.size >= STATEMENTS_PER_CONNECTION_MAX) return [statement.inline];
    const types = statement.types.length === 0 ? '' : `(${statement.types.join(',')})`;
    newNames.add(name);
    return [`PREPARE ${name}${types} AS ${statement.text}`, execute];
  }

  /** The script that prepared these has run to its end. */
  add(names: Iterable<string>): void {
    for (const name of names) this.#names.add(name);
  }

  /** The script that was to prepare something has failed. */
  doubt(): void {
    this.#isInDoubt = true;
  }

  /** Takes what the session says it keeps. */
  resume(names: readonly string[]): void {
    this.#names.clear();
    this.add(names);
    this.#isInDoubt = false;
  }
}

function formatExecute(name: string, literals: readonly string[]): string {
  return literals.length === 0 ? `EXECUTE ${name}` : `EXECUTE ${name}(${literals.join(',')})`;
}

const statementsByClient = new WeakMap<object, ConnectionStatements>();

export function getConnectionStatements(client: object): ConnectionStatements {
  let statements = statementsByClient.get(client);
  if (statements === undefined) statementsByClient.set(client, (statements = new ConnectionStatements()));
  return statements;
}

/** Texts beyond this many would only fill the memory of the process. */
const NAMES_MAX = 1000;
const namesByText = new Map<string, string>();

function getName(text: string): string {
  const known = namesByText.get(text);
  if (known !== undefined) return known;
  if (namesByText.size >= NAMES_MAX) namesByText.clear();
  const name = `${NAME_PREFIX}${hash('sha256', text).slice(0, 32)}`;
  namesByText.set(text, name);
  return name;
}
