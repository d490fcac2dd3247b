import * as v from 'valibot';
import type { JsonValue } from '../json/json-value.ts';
import { absent, CounterSchema, NotBlankSchema, parseMessage, RowCountSchema, RowKeySchema } from './schemas.ts';

/** Causes of a refused row that this version names; clients treat a kind they do not know like any other. */
export const VIOLATION_KINDS = [
  'unique',
  'exclusion',
  'foreign_key',
  'not_null',
  'check',
  'invalid_text',
  'out_of_range',
  'number_format',
  'unknown_column',
  'nul_character',
  'not_representable',
  'rejected_by_trigger',
  'payload',
  'key',
  'duplicate_row',
  'table',
] as const;

/** One of {@link VIOLATION_KINDS}. */
export type ViolationKind = (typeof VIOLATION_KINDS)[number];

/** Member `violation` of `push_chunk_invalid` and `push_commit_invalid`: why one row was refused. */
export const ViolationSchema = v.object({
  kind: NotBlankSchema,
  schema: v.string(),
  table: v.string(),
  constraint: absent(v.string()),
  column: absent(v.string()),
  category: absent(v.string()),
  /** Position in the push; present when the row is known, like `key`. */
  row_ordinal: absent(RowCountSchema),
  key: v.optional(RowKeySchema),
});

/** A refused row, without any of its values. */
export type Violation = v.InferOutput<typeof ViolationSchema>;

/** Member `limit_exceeded` of limit errors. */
export const LimitExceededSchema = v.object({
  /** Name of the server option. */
  name: NotBlankSchema,
  limit: CounterSchema,
  actual: absent(CounterSchema),
});

/** The limit that a request broke. */
export type LimitExceeded = v.InferOutput<typeof LimitExceededSchema>;

/** @throws SyncError `protocol_violation` */
export function parseViolation(json: JsonValue | undefined): Violation {
  return parseMessage(ViolationSchema, json, 'protocol_violation');
}

/** @throws SyncError `protocol_violation` */
export function parseLimitExceeded(json: JsonValue | undefined): LimitExceeded {
  return parseMessage(LimitExceededSchema, json, 'protocol_violation');
}
