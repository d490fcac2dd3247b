/** What one tab tells the others about a commit. */
export interface ChangeMessage {
  readonly tables: readonly string[];
  readonly origin: 'local' | 'remote';
}

/** More names than any schema has: a message of something else must not cost memory. */
const TABLES_MAX = 10_000;

/** A message of another tab, or `null` when it is anything else. */
export function parseChangeMessage(message: unknown): ChangeMessage | null {
  if (typeof message !== 'object' || message === null) return null;
  const tables = 'tables' in message ? message.tables : null;
  const origin = 'origin' in message ? message.origin : null;
  if (!Array.isArray(tables) || tables.length > TABLES_MAX || !tables.every(isName)) return null;
  return origin === 'local' || origin === 'remote' ? { tables, origin } : null;
}

function isName(value: unknown): value is string {
  return typeof value === 'string';
}
