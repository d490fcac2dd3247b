import * as v from 'valibot';
import type { JsonValue } from '../json/json-value.ts';
import { NotBlankSchema, parseMessage, PositiveInt64Schema, RowCountSchema, SourceIdSchema } from './schemas.ts';

/** The members that identify a committed bundle; they stand in several replies. */
export const committedBundleEntries = {
  bundle_seq: PositiveInt64Schema,
  source_id: SourceIdSchema,
  source_bundle_id: PositiveInt64Schema,
  /** Committed rows, effects of cascades and triggers included. */
  row_count: RowCountSchema,
  bundle_hash: NotBlankSchema,
  /** Empty for bundles that the server wrote without a request. */
  canonical_request_hash: v.string(),
};

/** Reply of `POST /sync/push-sessions/{push_id}/commit`. */
export const CommitReplySchema = v.object(committedBundleEntries);

/** A bundle as its commit announces it. */
export type CommitReply = v.InferOutput<typeof CommitReplySchema>;

/** @throws SyncError `protocol_violation` */
export function parseCommitReply(json: JsonValue): CommitReply {
  return parseMessage(CommitReplySchema, json, 'protocol_violation');
}
