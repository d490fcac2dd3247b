/** Which statements a connection of node-postgres keeps prepared for scripts, where parameters are no option. */
import { hash } from 'node:crypto';

import type { PgStatement } from '../ports/postgres.ts';

/** Each costs memory of its backend, and the column sets of pushes are the clients' choice. */
const STATEMENTS_PER_CONNECTION_MAX = 256;

/** Told apart from the statements that node-postgres names itself. */
const NAME_PREFIX = 'oversync_s_';

/**
 * The prepared statements of one session. A statement is sent as plain text the first time and prepared before the next transaction
 * begins, on its own: PREPARE keeps the whole text that it came in, and its faults must not hit a transaction.
 */
export class ConnectionStatements {
  readonly #names = new Set<string>();
  readonly #wanted = new Map<string, PgStatement>();
  /** The session is ours alone: nothing between us and PostgreSQL hands our transactions to other sessions. */
  isDirect = false;

  /** What is sent for one statement of a script. */
  format(statement: string | PgStatement): string {
    if (typeof statement === 'string') return statement;
    if (!this.isDirect) return statement.inline;
    const name = getName(statement.text);
    if (this.#names.has(name)) return formatExecute(name, statement.literals);
    if (this.#names.size + this.#wanted.size < STATEMENTS_PER_CONNECTION_MAX) this.#wanted.set(name, statement);
    return statement.inline;
  }

  /** Prepares what was sent before, outside of a transaction; what `prepare` says it could not goes on as plain text. */
  async prepareWanted(prepare: (sql: string) => Promise<boolean>): Promise<void> {
    for (const [name, statement] of this.#wanted) {
      this.#wanted.delete(name);
      const types = statement.types.length === 0 ? '' : `(${statement.types.join(',')})`;
      if (await prepare(`PREPARE ${name}${types} AS ${statement.text}`)) this.#names.add(name);
    }
  }

  /** Somebody else has told the session to forget its statements, or it is another one. */
  forget(): void {
    this.isDirect = false;
    this.#names.clear();
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
