import type { ViolationKind } from '@oversync/protocol';

/** The facts of a database fault that decide whose fault it is. */
export interface FaultFacts {
  readonly sqlState: string;
  /** Call stack of PL/pgSQL; its first line names the statement that raised. */
  readonly where: string | undefined;
}

const BY_STATE: ReadonlyMap<string, ViolationKind> = new Map<string, ViolationKind>([
  ['23505', 'unique'],
  ['23P01', 'exclusion'],
  ['23503', 'foreign_key'],
  ['23001', 'foreign_key'],
  ['23502', 'not_null'],
  ['23514', 'check'],
  ['44000', 'check'],
  ['22003', 'out_of_range'],
  ['22001', 'out_of_range'],
  ['22008', 'out_of_range'],
  // A text that no index entry of the table can hold; only its length is wrong.
  ['54000', 'out_of_range'],
  // Raised by the rendering of rows for a value that JSON cannot express.
  ['OV002', 'not_representable'],
  // A trigger of the application wrote to another scope because of this row.
  ['OV001', 'rejected_by_trigger'],
]);

const BY_CLASS: ReadonlyMap<string, ViolationKind> = new Map<string, ViolationKind>([
  ['22', 'invalid_text'],
  ['23', 'check'],
  ['P0', 'rejected_by_trigger'],
]);

/** Classes that stand for the database's or our own trouble, unless a trigger raised them on purpose. */
const FOREIGN_CLASSES = ['08', '25', '26', '40', '42', '53', '54', '55', '57', '58', 'F0', 'XX', '0A'];

/**
 * What a fault while converting or applying pushed rows says about them; `null` when it says nothing, so that it is a fault of
 * the server or of the moment.
 *
 * | SQLSTATE                                            | kind                                    |
 * | --------------------------------------------------- | --------------------------------------- |
 * | 23505, 23P01, 23503/23001, 23502, 23514/44000       | unique, exclusion, foreign_key, not_null, check |
 * | 22003, 22001, 22008, 54000                          | out_of_range                            |
 * | other class 22                                      | invalid_text                            |
 * | other class 23                                      | check                                   |
 * | P0…, RAISE with any state, a state of the application | rejected_by_trigger                   |
 * | OV002                                               | not_representable                       |
 * | everything else                                     | null                                    |
 */
export function decideViolationKind(fault: FaultFacts): ViolationKind | null {
  const known = BY_STATE.get(fault.sqlState) ?? BY_CLASS.get(fault.sqlState.slice(0, 2));
  if (known !== undefined) return known;
  if (isRaised(fault.where)) return 'rejected_by_trigger';
  return FOREIGN_CLASSES.some((prefix) => fault.sqlState.startsWith(prefix)) ? null : 'rejected_by_trigger';
}

/** `RAISE` is a statement name and therefore not translated. */
function isRaised(where: string | undefined): boolean {
  return where !== undefined && /\bRAISE$/.test(where.split('\n')[0] ?? '');
}
