import * as v from 'valibot';
import { isReservedSourceId } from '../ids.ts';
import type { JsonValue } from '../json/json-value.ts';
import { CounterSchema, NotBlankSchema, parseMessage, RowCountSchema, SourceIdSchema, UtcTimeSchema } from './schemas.ts';

/** Why a client gives up its source id. */
export const SOURCE_REPLACEMENT_REASONS = [
  'history_pruned',
  'source_sequence_out_of_order',
  'source_sequence_changed',
  'source_retired',
] as const;

const ReplaceableSourceIdSchema = v.pipe(
  SourceIdSchema,
  v.check((id) => !isReservedSourceId(id)),
);

/** A closed shape: this request refuses members it does not know. */
export const SourceReplacementSchema = v.pipe(
  v.strictObject({
    previous_source_id: ReplaceableSourceIdSchema,
    new_source_id: ReplaceableSourceIdSchema,
    reason: v.picklist(SOURCE_REPLACEMENT_REASONS),
  }),
  v.check(({ previous_source_id: previous, new_source_id: next }) => previous !== next),
);

/** One source id taking the place of another. */
export type SourceReplacement = v.InferOutput<typeof SourceReplacementSchema>;

/** Body of `POST /sync/snapshot-sessions`, closed too. */
export const SnapshotSessionRequestSchema = v.strictObject({ source_replacement: v.nullish(SourceReplacementSchema) });

/** A snapshot request, with a replacement or without. */
export interface SnapshotSessionRequest {
  readonly source_replacement: SourceReplacement | undefined;
}

/** Reply of `POST /sync/snapshot-sessions`. */
export const SnapshotSessionSchema = v.pipe(
  v.object({
    snapshot_id: NotBlankSchema,
    snapshot_bundle_seq: CounterSchema,
    row_count: RowCountSchema,
    byte_count: CounterSchema,
    expires_at: UtcTimeSchema,
  }),
  v.check((session) => (session.row_count === 0) === (session.byte_count === 0n)),
  v.check((session) => session.row_count === 0 || session.snapshot_bundle_seq > 0n),
);

/** A frozen image of a scope. */
export type SnapshotSession = v.InferOutput<typeof SnapshotSessionSchema>;

/**
 * Reads the request body; `undefined` stands for an empty one. Whether the previous id is the caller's own is for
 * the server to check.
 *
 * @throws SyncError `snapshot_session_invalid`
 */
export function parseSnapshotSessionRequest(json: JsonValue | undefined): SnapshotSessionRequest {
  if (json === undefined || json === null) return { source_replacement: undefined };
  const request = parseMessage(SnapshotSessionRequestSchema, json, 'snapshot_session_invalid');
  return { source_replacement: request.source_replacement ?? undefined };
}

/** @throws SyncError `protocol_violation` */
export function parseSnapshotSession(json: JsonValue): SnapshotSession {
  return parseMessage(SnapshotSessionSchema, json, 'protocol_violation');
}
