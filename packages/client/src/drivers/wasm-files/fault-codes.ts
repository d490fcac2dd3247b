import type { Database, SQLite3Error } from 'node-sqlite3-wasm';

const SQLITE_ERROR = 1;
const SQLITE_CONSTRAINT = 19;
const SQLITE_CONSTRAINT_TRIGGER = 1811;

/** The texts of SQLite's own constraint failures; any other text comes from a `RAISE` of a trigger. */
const CONSTRAINT_TEXTS: readonly (readonly [RegExp, number])[] = [
  [/^UNIQUE constraint failed/, 2067],
  [/^NOT NULL constraint failed/, 1299],
  [/^CHECK constraint failed/, 275],
  [/^FOREIGN KEY constraint failed/, 787],
  [/^cannot store /, 3091],
];

/**
 * Result codes of failures. The errors of node-sqlite3-wasm carry a text only, so the primary code is noted where the package looks at it,
 * and the extended code of a constraint is told by the text.
 */
export class FaultCodes {
  #primaryCode: number | null = null;

  constructor(database: Database) {
    const native: unknown = Reflect.get(database, '_handleError');
    if (typeof native !== 'function') throw new Error('this version of node-sqlite3-wasm is not supported');
    const value = (code: number): unknown => {
      if (code !== 0) this.#primaryCode = code;
      return Reflect.apply(native, database, [code]);
    };
    Object.defineProperty(database, '_handleError', { value });
  }

  /** The code of the failure that was thrown last. */
  codeOf(error: SQLite3Error): number {
    const code = this.#primaryCode ?? SQLITE_ERROR;
    this.#primaryCode = null;
    if ((code & 0xff) !== SQLITE_CONSTRAINT) return code;
    const known = CONSTRAINT_TEXTS.find(([text]) => text.test(error.message));
    return known?.[1] ?? SQLITE_CONSTRAINT_TRIGGER;
  }
}
