import * as v from 'valibot';
import type { JsonValue } from '../json/json-value.ts';
import { committedBundleEntries } from './commit.ts';
import { absent, Int64Schema, NotBlankSchema, parseMessage, RowCountSchema, UtcTimeSchema, UuidTokenSchema } from './schemas.ts';

/**
 * Body of `POST /sync/push-sessions`. Only types are checked here: ranges and forms have their own error code, and
 * a member that is missing counts as 0 or empty, which no range allows.
 */
export const PushSessionRequestSchema = v.object({
  source_bundle_id: v.nullish(Int64Schema, 0),
  planned_row_count: v.nullish(Int64Schema, 0),
  canonical_request_hash: v.nullish(v.string(), ''),
  /** Only while the scope is being seeded. */
  initialization_id: absent(v.string()),
});

/** A frozen push, announced before its rows. */
export type PushSessionRequest = v.InferOutput<typeof PushSessionRequestSchema>;

/** Reply of `POST /sync/push-sessions`. */
export const PushSessionReplySchema = v.variant('status', [
  v.object({
    status: v.literal('staging'),
    push_id: UuidTokenSchema,
    planned_row_count: RowCountSchema,
    next_expected_row_ordinal: RowCountSchema,
    canonical_request_hash: NotBlankSchema,
  }),
  v.object({ status: v.literal('already_committed'), ...committedBundleEntries }),
]);

/** Either a session to upload into, or the bundle the tuple was committed as. */
export type PushSessionReply = v.InferOutput<typeof PushSessionReplySchema>;

/** Reply of `GET /sync/push-sessions/{push_id}`. */
export const PushSessionStatusSchema = v.object({
  status: v.literal('staging'),
  push_id: UuidTokenSchema,
  planned_row_count: RowCountSchema,
  next_expected_row_ordinal: RowCountSchema,
  canonical_request_hash: NotBlankSchema,
  expires_at: UtcTimeSchema,
});

/** How far an open push session has come. */
export type PushSessionStatus = v.InferOutput<typeof PushSessionStatusSchema>;

/** @throws SyncError `invalid_request` */
export function parsePushSessionRequest(json: JsonValue): PushSessionRequest {
  return parseMessage(PushSessionRequestSchema, json, 'invalid_request');
}

/** @throws SyncError `protocol_violation` */
export function parsePushSessionReply(json: JsonValue): PushSessionReply {
  return parseMessage(PushSessionReplySchema, json, 'protocol_violation');
}

/** @throws SyncError `protocol_violation` */
export function parsePushSessionStatus(json: JsonValue): PushSessionStatus {
  return parseMessage(PushSessionStatusSchema, json, 'protocol_violation');
}
