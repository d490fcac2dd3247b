import * as v from 'valibot';
import { SyncError } from '../errors/sync-error.ts';
import type { RowOp } from '../hash/row-text.ts';
import { isJsonObject, parseInt64 } from '../json/json-value.ts';
import type { JsonObject, JsonValue } from '../json/json-value.ts';
import { SCOPE_COLUMN } from '../limits.ts';
import { isRowKey, isRowOp } from './rows.ts';
import { absent, Int64Schema, JsonListSchema, parseMessage, RowCountSchema, UuidTokenSchema } from './schemas.ts';
import type { ViolationKind } from './violation.ts';

/**
 * Body of `POST /sync/push-sessions/{push_id}/chunks`, rows unseen: {@link checkPushRow} looks at each. An absent
 * ordinal counts as 0, an absent list as an empty one.
 */
export const PushChunkRequestSchema = v.object({
  start_row_ordinal: v.nullish(Int64Schema, 0),
  rows: absent(JsonListSchema),
});

/** A chunk whose rows are not checked yet. */
export interface PushChunkRequest {
  readonly start_row_ordinal: bigint;
  readonly rows: readonly JsonValue[];
}

/** Reply of a chunk upload. */
export const PushChunkReplySchema = v.object({ push_id: UuidTokenSchema, next_expected_row_ordinal: RowCountSchema });

/** How many rows are staged now. */
export type PushChunkReply = v.InferOutput<typeof PushChunkReplySchema>;

/** One uploaded row in the form that the request hash is made of: names lower-cased, operation upper-cased. */
export interface PushRow {
  readonly schema: string;
  readonly table: string;
  /** Exactly one member with a string value. */
  readonly key: JsonObject;
  readonly op: RowOp;
  readonly base_row_version: bigint;
  /** `null` exactly for DELETE. */
  readonly payload: JsonObject | null;
}

/** @throws SyncError `invalid_request` */
export function parsePushChunkRequest(json: JsonValue): PushChunkRequest {
  const { start_row_ordinal, rows } = parseMessage(PushChunkRequestSchema, json, 'invalid_request');
  return { start_row_ordinal, rows: rows ?? [] };
}

/** @throws SyncError `protocol_violation` */
export function parsePushChunkReply(json: JsonValue): PushChunkReply {
  return parseMessage(PushChunkReplySchema, json, 'protocol_violation');
}

/**
 * Checks the shape of one uploaded row by hand; the catalog has its own say afterwards.
 *
 * @param rowOrdinal position in the whole push, from 0
 * @throws SyncError `invalid_request` for a member of a wrong JSON type, `push_chunk_invalid` with a violation for
 * an unknown operation, a malformed key or payload, and a negative version.
 */
export function checkPushRow(value: JsonValue, rowOrdinal: number): PushRow {
  if (!isJsonObject(value)) throw new SyncError('invalid_request');
  const schema = readText(value, 'schema').toLowerCase();
  const table = readText(value, 'table').toLowerCase();
  const refuse = (kind: ViolationKind, column?: string): never => {
    const violation = { kind, schema, table, ...(column === undefined ? {} : { column }), row_ordinal: rowOrdinal };
    throw new SyncError('push_chunk_invalid', { details: { violation } });
  };
  const op = readText(value, 'op').toUpperCase();
  const { key } = value;
  const base_row_version = readInteger(value, 'base_row_version');
  if (!isRowOp(op)) return refuse('payload');
  if (!isRowKey(key)) return refuse('key');
  if (base_row_version < 0n) return refuse('payload');
  return { schema, table, key, op, base_row_version, payload: readPayload(value['payload'], op, refuse) };
}

function readPayload(
  payload: JsonValue | undefined,
  op: RowOp,
  refuse: (kind: ViolationKind, column?: string) => never,
): JsonObject | null {
  if (op === 'DELETE') return payload === undefined || payload === null ? null : refuse('payload');
  if (!isJsonObject(payload)) return refuse('payload');
  return Object.hasOwn(payload, SCOPE_COLUMN) ? refuse('unknown_column', SCOPE_COLUMN) : payload;
}

function readText(row: JsonObject, name: string): string {
  const value = row[name] ?? '';
  if (typeof value === 'string') return value;
  throw new SyncError('invalid_request', { details: { reason: 'decode', member: name } });
}

function readInteger(row: JsonObject, name: string): bigint {
  const integer = parseInt64(row[name] ?? 0);
  if (integer !== null) return integer;
  throw new SyncError('invalid_request', { details: { reason: 'decode', member: name } });
}
