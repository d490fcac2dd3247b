import { isJsonObject, JsonSyntaxError, parseJsonBytes, SyncError } from '@oversync/protocol';
import type { ErrorCode, JsonObject, JsonValue } from '@oversync/protocol';

import type { ConnectInput } from '../engine/connect.ts';
import type { SnapshotCreateInput } from '../engine/snapshot-create.ts';

/** Parses one JSON value from a request body; every breach of the JSON rules is `code`. */
export function parseBody(bytes: Uint8Array, depthMax: number, code: ErrorCode): JsonValue {
  try {
    return parseJsonBytes(bytes, { depthMax });
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    const place = `${error.reason} at offset ${String(error.offset)}`;
    const details = error.reason === 'depth' ? { details: { limit_exceeded: { name: 'maxJsonDepth', limit: depthMax } } } : {};
    throw new SyncError(code, { message: `the request body is not valid JSON: ${place}`, cause: error, ...details });
  }
}

/** `has_local_pending_rows` is a boolean; absent or null is false. Unknown members are ignored. */
export function parseConnectInput(body: JsonValue): ConnectInput {
  if (!isJsonObject(body)) throw new SyncError('invalid_request', { message: 'the request body is not a JSON object' });
  const value = body['has_local_pending_rows'] ?? false;
  if (typeof value !== 'boolean') throw new SyncError('invalid_request', { message: 'has_local_pending_rows is not a boolean' });
  return { hasLocalPendingRows: value };
}

/**
 * An empty body, `null` and `{}` ask for a plain session. This is the one request in which unknown members are refused: a
 * replacement that is misspelt must not become a session without one.
 */
export function parseSnapshotCreateInput(bytes: Uint8Array, depthMax: number): SnapshotCreateInput {
  const body = isBlank(bytes) ? null : parseBody(bytes, depthMax, 'snapshot_session_invalid');
  if (body === null) return { replacement: undefined };
  const members = checkMembers(body, 'the request body', ['source_replacement']);
  const replacement = members['source_replacement'] ?? null;
  if (replacement === null) return { replacement: undefined };
  const fields = checkMembers(replacement, 'source_replacement', ['previous_source_id', 'new_source_id', 'reason']);
  return {
    replacement: {
      previousSourceId: readText(fields, 'previous_source_id'),
      newSourceId: readText(fields, 'new_source_id'),
      reason: readText(fields, 'reason'),
    },
  };
}

function isBlank(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d);
}

function checkMembers(value: JsonValue, place: string, names: readonly string[]): JsonObject {
  if (!isJsonObject(value)) throw new SyncError('snapshot_session_invalid', { message: `${place} is not a JSON object` });
  for (const name of Object.keys(value)) {
    if (!names.includes(name)) throw new SyncError('snapshot_session_invalid', { message: `${place} has an unknown member` });
  }
  return value;
}

function readText(fields: JsonObject, name: string): string {
  const value = fields[name];
  if (typeof value !== 'string') throw new SyncError('snapshot_session_invalid', { message: `${name} is not a string` });
  return value;
}
