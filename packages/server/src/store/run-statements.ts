import type { PgResult, PgStatement, PgTransaction } from '../ports/postgres.ts';

/** One statement of a script; a text has no values that change. */
export type ScriptStatement = string | PgStatement;

/** Sends statements in one round trip; one result per statement. `takeText` as in {@link PgTransaction.run}, where the driver has it. */
export function runStatements(
  tx: PgTransaction,
  statements: readonly ScriptStatement[],
  takeText?: (text: string) => void,
): Promise<readonly PgResult[]> {
  if (tx.run !== undefined) return tx.run(statements, false, takeText);
  return tx.script(statements.map(formatStatement).join(';'));
}

/** The last thing a transaction does: a driver that can sends COMMIT along. */
export function runLastStatements(tx: PgTransaction, statements: readonly ScriptStatement[]): Promise<readonly PgResult[]> {
  if (tx.run !== undefined) return tx.run(statements, true);
  return runStatements(tx, statements);
}

/** The statement with its values in place. */
export function formatStatement(statement: ScriptStatement): string {
  return typeof statement === 'string' ? statement : statement.inline;
}
