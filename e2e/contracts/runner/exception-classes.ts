import { isSyncError } from '@oversync/protocol';
import type { ErrorCode } from '@oversync/protocol';

/** The codes that stand for each exception class of the fixtures. Where there are several, the class is the wider notion. */
const CODES_OF_CLASS: Readonly<Record<string, readonly ErrorCode[]>> = {
  http_error: ['http_error', 'retry_exhausted', 'rate_limited', 'capacity_exhausted'],
  protocol_error: [
    'protocol_violation',
    'payload_column_missing',
    'payload_value_invalid',
    'table_unknown',
    'bundle_hash_mismatch',
    'conflict_resolution_invalid',
  ],
  protocol_version_mismatch: ['protocol_version_mismatch'],
  rebuild_required: ['rebuild_required'],
  source_recovery_required: ['source_recovery_required'],
  source_replacement_diverged: ['source_replacement_diverged'],
  source_replacement_invalid: ['source_replacement_invalid'],
  invalid_source_recovery_reason: ['source_recovery_reason_invalid'],
  source_sequence_mismatch: ['source_sequence_mismatch'],
};

/** Fragments of messages that the fixtures expect, and the code (and reason) that stands for each. Our messages are fixed per code. */
const CODE_OF_FRAGMENT: readonly (readonly [fragment: string, code: ErrorCode, reason?: string])[] = [
  ['invalid_payload_shape', 'payload_column_missing'],
  ['must contain every table column', 'payload_column_missing'],
  ['invalid_chunk', 'protocol_violation', 'ended_early'],
  ['does not match session row_count', 'protocol_violation', 'ended_early'],
  ['does not match expected row_count', 'protocol_violation', 'ended_early'],
  ['stable bundle seq changed', 'protocol_violation', 'ceiling_changed'],
  ['checkpoint recovery is blocked', 'checkpoint_recovery_blocked'],
];

/** Throws unless the error is of the expected class. An error that is none of ours is never the expected one. */
export function checkExceptionClass(expected: string, error: unknown): void {
  if (expected === 'none') {
    if (error !== undefined) throw new Error('the step should have succeeded', { cause: error });
    return;
  }
  if (!isSyncError(error)) throw new Error(`the step should have failed with ${expected}`, { cause: error });
  if (expected === 'any_error') return;
  const codes = CODES_OF_CLASS[expected];
  if (codes === undefined) throw new Error(`unknown exception class: ${expected}`);
  if (!codes.includes(error.code)) throw new Error(`${error.code} is no ${expected}`, { cause: error });
}

/** Throws unless the error is what the message fragment stands for. */
export function checkErrorFragment(fragment: string, error: unknown): void {
  const entry = CODE_OF_FRAGMENT.find(([known]) => fragment.includes(known));
  if (entry === undefined) throw new Error(`unknown message fragment: ${fragment}`);
  const [, code, reason] = entry;
  const isMeant = isSyncError(error) && error.code === code && (reason === undefined || error.details['reason'] === reason);
  if (!isMeant) throw new Error(`expected ${code}${reason === undefined ? '' : ` (${reason})`}`, { cause: error });
}
