import * as v from 'valibot';
import { isSha256Hex } from '../ids.ts';
import type { JsonValue } from '../json/json-value.ts';
import { checkSnapshotRow } from './rows.ts';
import type { SnapshotRow } from './rows.ts';
import {
  absent,
  CounterSchema,
  JsonListSchema,
  NotBlankSchema,
  parseMessage,
  PositiveInt64Schema,
  RowCountSchema,
} from './schemas.ts';

const KeyTextSchema = v.pipe(v.string(), v.minLength(1));

/** Keys after `after` up to and including `through`, in the order of their bytes; a missing end is open. */
const KeyRangeMembers = {
  /** Wire text of a key. */
  after: absent(KeyTextSchema),
  /** Wire text of a key. */
  through: absent(KeyTextSchema),
};

/** Body of `POST /sync/verify`. */
export const VerifyRequestSchema = v.object({
  /** The checkpoint of the device; the answer is about this sequence or none. */
  bundle_seq: CounterSchema,
  schema: NotBlankSchema,
  table: NotBlankSchema,
  /** The columns that the device has, the key among them; others are left out of the hashes. */
  columns: v.pipe(v.array(NotBlankSchema), v.minLength(1)),
  /** Into how many parts of nearly equal row counts every range is cut. */
  parts: PositiveInt64Schema,
  ranges: v.pipe(v.array(v.object(KeyRangeMembers)), v.minLength(1)),
  /** Keys that are left out of every range, because the device has unsent changes of them. */
  excluded_keys: v.nullish(v.array(KeyTextSchema), []),
});

/** Asks for the hashes of some ranges of one table. */
export type VerifyRequest = v.InferOutput<typeof VerifyRequestSchema>;

const RangePartSchema = v.object({
  /** The last key of the part; missing where the range itself has an open end. */
  through: absent(KeyTextSchema),
  row_count: RowCountSchema,
  /** Hash of the row hashes in key order. */
  hash: v.pipe(v.string(), v.check(isSha256Hex)),
});

/** Reply of `POST /sync/verify`. */
export const VerifyReplySchema = v.object({
  bundle_seq: CounterSchema,
  /** In the order of the request. The parts of a range cover it without a gap. */
  ranges: v.array(v.object({ parts: v.pipe(v.array(RangePartSchema), v.minLength(1)) })),
});

/** Hashes of ranges at one sequence. */
export type VerifyReply = v.InferOutput<typeof VerifyReplySchema>;

/** Body of `POST /sync/verify/rows`. */
export const VerifyRowsRequestSchema = v.object({
  /** As in {@link VerifyRequestSchema}. */
  bundle_seq: CounterSchema,
  schema: NotBlankSchema,
  table: NotBlankSchema,
  ...KeyRangeMembers,
  /** Rows of the page; the server may send fewer. */
  max_rows: absent(PositiveInt64Schema),
});

/** Asks for the rows of one range. */
export type VerifyRowsRequest = v.InferOutput<typeof VerifyRowsRequestSchema>;

/** Reply of `POST /sync/verify/rows`, rows unseen. */
export const VerifyRowsReplySchema = v.pipe(
  v.object({
    bundle_seq: CounterSchema,
    /** In the order of their key bytes. */
    rows: JsonListSchema,
    has_more: v.boolean(),
  }),
  v.check(({ rows, has_more: hasMore }) => !hasMore || rows.length > 0),
);

/** Rows of a range as they are at one sequence. */
export type VerifyRowsReply = Omit<v.InferOutput<typeof VerifyRowsReplySchema>, 'rows'> & {
  readonly rows: readonly SnapshotRow[];
};

/** @throws SyncError `verify_invalid` */
export function parseVerifyRequest(json: JsonValue): VerifyRequest {
  return parseMessage(VerifyRequestSchema, json, 'verify_invalid');
}

/** @throws SyncError `protocol_violation` */
export function parseVerifyReply(json: JsonValue): VerifyReply {
  return parseMessage(VerifyReplySchema, json, 'protocol_violation');
}

/** @throws SyncError `verify_invalid` */
export function parseVerifyRowsRequest(json: JsonValue): VerifyRowsRequest {
  return parseMessage(VerifyRowsRequestSchema, json, 'verify_invalid');
}

/** @throws SyncError `protocol_violation` */
export function parseVerifyRowsReply(json: JsonValue): VerifyRowsReply {
  const reply = parseMessage(VerifyRowsReplySchema, json, 'protocol_violation');
  return { ...reply, rows: reply.rows.map(checkSnapshotRow) };
}
