/**
 * What somebody who started a program is told when it could not go on: what happened and what to do, without a stack trace. Urls are
 * left out, because one may hold a password.
 */
export function formatFailure(program: string, error: unknown, usesOwnDatabase: boolean): string {
  const lines = [`${program} could not go on.`, `  what     ${describe(error)}`];
  if (usesOwnDatabase)
    lines.push('  check    that the PostgreSQL of DATABASE_URL runs, and that its user, password and database are right');
  return lines.join('\n');
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error && typeof error.code === 'string' ? ` (${error.code})` : '';
  const cause =
    error.cause instanceof Error && error.cause.message !== error.message ? `; because: ${describe(error.cause)}` : '';
  return `${error.message}${code}${cause}`;
}
