import * as v from 'valibot';
import { SyncError } from '../errors/sync-error.ts';
import type { JsonValue } from '../json/json-value.ts';
import {
  CounterSchema,
  JsonObjectSchema,
  NotBlankSchema,
  parseMessage,
  RowCountSchema,
  RowKeySchema,
  RowOpSchema,
} from './schemas.ts';

const conflictEntries = {
  schema: v.string(),
  table: NotBlankSchema,
  key: RowKeySchema,
  op: RowOpSchema,
  base_row_version: CounterSchema,
  /** Version of the live row or tombstone, 0 when the server never had the key. */
  server_row_version: CounterSchema,
  /** True only for a tombstone. */
  server_row_deleted: v.boolean(),
  /** Full payload of the live row; `null` when there is none. */
  server_row: v.nullable(JsonObjectSchema),
};

/** Member `conflict` of `push_conflict`: the first refused row; all eight members are always present. */
export const ConflictSchema = v.object(conflictEntries);

/** A pushed row whose base is not what the server has. */
export type Conflict = v.InferOutput<typeof ConflictSchema>;

/** One entry of the member `conflicts`. */
export const ListedConflictSchema = v.object({ ...conflictEntries, row_ordinal: RowCountSchema });

/** A {@link Conflict} with its position in the push. */
export type ListedConflict = v.InferOutput<typeof ListedConflictSchema>;

/** @throws SyncError `protocol_violation` */
export function parseConflict(json: JsonValue | undefined): Conflict {
  return parseMessage(ConflictSchema, json, 'protocol_violation');
}

/**
 * The list of all conflicts, empty when the server does not send one. It may be cut; `conflict_count` says how many
 * there are.
 *
 * @throws SyncError `protocol_violation`
 */
export function parseConflicts(json: JsonValue | undefined): readonly ListedConflict[] {
  if (json === undefined) return [];
  if (!Array.isArray(json)) throw new SyncError('protocol_violation', { details: { reason: 'decode', member: 'conflicts' } });
  return json.map((entry) => parseMessage(ListedConflictSchema, entry, 'protocol_violation'));
}
