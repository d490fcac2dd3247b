import * as v from 'valibot';
import type { JsonValue } from '../json/json-value.ts';
import { parseMessage, PositiveInt64Schema, UtcTimeSchema, UuidTokenSchema } from './schemas.ts';

/** Body of `POST /sync/connect`. */
export const ConnectRequestSchema = v.object({
  /** Whether the database holds rows no server has seen; absent means no. */
  has_local_pending_rows: v.nullish(v.boolean(), false),
});

/** Whether a device may seed the scope. */
export type ConnectRequest = v.InferOutput<typeof ConnectRequestSchema>;

/** Reply of `POST /sync/connect`: what the caller has to do to become attached. */
export const ConnectReplySchema = v.variant('resolution', [
  v.object({ resolution: v.literal('remote_authoritative') }),
  v.object({
    resolution: v.literal('initialize_local'),
    /** Sent with every push session until the first commit. */
    initialization_id: UuidTokenSchema,
    lease_expires_at: UtcTimeSchema,
  }),
  v.object({ resolution: v.literal('initialize_empty') }),
  v.object({
    resolution: v.literal('retry_later'),
    retry_after_seconds: PositiveInt64Schema,
    lease_expires_at: UtcTimeSchema,
  }),
]);

/** The four resolutions of connect. */
export type ConnectReply = v.InferOutput<typeof ConnectReplySchema>;

/** @throws SyncError `invalid_request` */
export function parseConnectRequest(json: JsonValue): ConnectRequest {
  return parseMessage(ConnectRequestSchema, json, 'invalid_request');
}

/** @throws SyncError `protocol_violation` */
export function parseConnectReply(json: JsonValue): ConnectReply {
  return parseMessage(ConnectReplySchema, json, 'protocol_violation');
}
