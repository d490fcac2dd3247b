import * as v from 'valibot';
import type { JsonValue } from '../json/json-value.ts';
import { absent, parseMessage, PositiveInt64Schema, SourceIdSchema } from './schemas.ts';

/** The data of one `bundle` event of `GET /sync/watch`: a hint that a commit up to this sequence exists. */
export const WatchEventSchema = v.object({
  bundle_seq: PositiveInt64Schema,
  source_id: absent(SourceIdSchema),
  source_bundle_id: absent(PositiveInt64Schema),
});

/** A hint to pull. */
export type WatchEvent = v.InferOutput<typeof WatchEventSchema>;

/** @throws SyncError `protocol_violation` */
export function parseWatchEvent(json: JsonValue): WatchEvent {
  return parseMessage(WatchEventSchema, json, 'protocol_violation');
}
