import { SyncError } from '@oversync/protocol';
import type { ViolationKind } from '@oversync/protocol';

/** The `violation` member of an error body, with its wire names. It never holds other values than the key. */
export interface Violation {
  readonly kind: ViolationKind;
  readonly schema: string;
  readonly table: string;
  readonly column?: string;
  readonly constraint?: string;
  readonly category?: string;
  /** Absolute ordinal in the push. */
  readonly row_ordinal?: number;
  readonly key?: Readonly<Record<string, string>>;
}

/** One fixed sentence per kind, so that no value, constraint expression or SQL text can slip into a message. */
const MESSAGES: Readonly<Record<ViolationKind, string>> = {
  unique: 'row violates a unique constraint',
  exclusion: 'row violates an exclusion constraint',
  foreign_key: 'row violates a foreign key',
  not_null: 'row has no value for a required column',
  check: 'row violates a check constraint',
  invalid_text: 'payload value cannot be read as the type of its column',
  out_of_range: 'payload value does not fit the destination column',
  number_format: 'payload value breaks the number format',
  unknown_column: 'payload names a column that is not published',
  nul_character: 'payload value contains U+0000',
  not_representable: 'the stored row cannot be sent to clients',
  rejected_by_trigger: 'row was refused by a trigger of the application',
  payload: 'payload does not have the required form',
  key: 'key does not have the required form',
  duplicate_row: 'the same row occurs twice',
  table: 'table is not registered',
};

/** The codes that may carry a violation: refused while staging, or while committing. */
export type ViolationCode = 'push_chunk_invalid' | 'push_commit_invalid';

/** A typed 400 for data that the client has to correct; repeating the same push is useless. */
export function createViolationError(code: ViolationCode, violation: Violation, cause?: unknown): SyncError {
  return new SyncError(code, {
    message: MESSAGES[violation.kind],
    details: { violation },
    ...(cause === undefined ? {} : { cause }),
  });
}

/** A typed 400 for a limit of protocol.md 2.4. `name` is the option that sets it. */
export function createLimitError(
  code: ViolationCode | 'push_session_invalid' | 'push_session_capacity',
  limit: { readonly name: string; readonly limit: number; readonly actual?: number | bigint },
  message: string,
): SyncError {
  return new SyncError(code, { message, details: { limit_exceeded: limit } });
}
