/**
 * What a driver tells the engine about a failed statement. A closed set, so that nothing above the driver reads a message text.
 * `unique` covers primary keys; `restrict` is an immediate foreign-key refusal or one found at COMMIT alike.
 */
export type SqliteFaultKind =
  | 'unique'
  | 'foreign_key'
  | 'not_null'
  | 'check'
  | 'raised_by_trigger'
  | 'constraint'
  | 'busy'
  | 'full'
  | 'corrupt'
  | 'io'
  | 'interrupted'
  | 'misuse'
  | 'other';

/** A failed statement or COMMIT as every driver reports it. `resultCode` is SQLite's extended result code. */
export class SqliteFault extends Error {
  readonly kind: SqliteFaultKind;
  readonly resultCode: number;

  constructor(kind: SqliteFaultKind, resultCode: number, cause?: unknown) {
    super(`SQLite failed: ${kind} (${resultCode})`, { cause });
    this.name = 'SqliteFault';
    this.kind = kind;
    this.resultCode = resultCode;
  }
}

/** True for the faults that a different row could have avoided. */
export function isConstraintFault(error: unknown): error is SqliteFault {
  return error instanceof SqliteFault && CONSTRAINT_KINDS.has(error.kind);
}

const CONSTRAINT_KINDS: ReadonlySet<SqliteFaultKind> = new Set([
  'unique',
  'foreign_key',
  'not_null',
  'check',
  'raised_by_trigger',
  'constraint',
]);

/** The kind that belongs to one of SQLite's extended result codes. */
export function sqliteFaultKind(resultCode: number): SqliteFaultKind {
  return EXTENDED_KINDS.get(resultCode) ?? PRIMARY_KINDS.get(resultCode & 0xff) ?? 'other';
}

const EXTENDED_KINDS: ReadonlyMap<number, SqliteFaultKind> = new Map<number, SqliteFaultKind>([
  [275, 'check'],
  [787, 'foreign_key'],
  [1299, 'not_null'],
  [1555, 'unique'],
  [1811, 'raised_by_trigger'],
  [2067, 'unique'],
  [2579, 'unique'],
]);

const PRIMARY_KINDS: ReadonlyMap<number, SqliteFaultKind> = new Map<number, SqliteFaultKind>([
  [5, 'busy'],
  [6, 'busy'],
  [9, 'interrupted'],
  [10, 'io'],
  [11, 'corrupt'],
  [13, 'full'],
  [14, 'io'],
  [19, 'constraint'],
  [21, 'misuse'],
  [26, 'corrupt'],
]);
