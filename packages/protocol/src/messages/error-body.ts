import * as v from 'valibot';
import { isJsonObject } from '../json/json-value.ts';
import type { JsonObject, JsonValue } from '../json/json-value.ts';
import { CounterSchema, NotBlankSchema, parseMessage, SourceIdSchema } from './schemas.ts';

/** The two members of every error body. `error` need not be a code this version knows. */
export const ErrorBodySchema = v.object({ error: NotBlankSchema, message: v.string() });

/** An error body; its further members are read by the parsers of the codes that have some. */
export interface ErrorBody extends v.InferOutput<typeof ErrorBodySchema> {
  /** The whole body. */
  readonly members: JsonObject;
}

/** Extra members of `snapshot_session_limit_exceeded`. */
export const SnapshotLimitSchema = v.pipe(
  v.object({
    dimension: v.picklist(['row_count', 'byte_count', 'row_byte_count']),
    actual: CounterSchema,
    limit: v.pipe(CounterSchema, v.minValue(1n)),
  }),
  v.check(({ actual, limit }) => actual > limit),
);

/** Which dimension of a snapshot is too large. */
export type SnapshotLimit = v.InferOutput<typeof SnapshotLimitSchema>;

/** Extra members of `source_retired`. */
export const SourceRetiredSchema = v.object({
  source_id: SourceIdSchema,
  /** Left out when the replacement is not known. */
  replaced_by_source_id: v.optional(SourceIdSchema),
});

/** The retired source and what took its place. */
export type SourceRetired = v.InferOutput<typeof SourceRetiredSchema>;

/** Extra member of `snapshot_chunk_too_small`. */
export const SnapshotChunkTooSmallSchema = v.object({ required_byte_count: v.pipe(CounterSchema, v.minValue(1n)) });

/** What the next row costs. */
export type SnapshotChunkTooSmall = v.InferOutput<typeof SnapshotChunkTooSmallSchema>;

/** @throws SyncError `protocol_violation` when the body is not an error of the contract. */
export function parseErrorBody(json: JsonValue): ErrorBody {
  const { error, message } = parseMessage(ErrorBodySchema, json, 'protocol_violation');
  return { error, message, members: isJsonObject(json) ? json : {} };
}

/** @throws SyncError `protocol_violation` */
export function parseSnapshotLimit(members: JsonObject): SnapshotLimit {
  return parseMessage(SnapshotLimitSchema, members, 'protocol_violation');
}

/** @throws SyncError `protocol_violation` */
export function parseSourceRetired(members: JsonObject): SourceRetired {
  return parseMessage(SourceRetiredSchema, members, 'protocol_violation');
}

/** @throws SyncError `protocol_violation` */
export function parseSnapshotChunkTooSmall(members: JsonObject): SnapshotChunkTooSmall {
  return parseMessage(SnapshotChunkTooSmallSchema, members, 'protocol_violation');
}
