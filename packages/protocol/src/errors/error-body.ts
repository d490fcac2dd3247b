import { isWellFormed } from '../ids.ts';
import { createJsonObject, isJsonObject, JsonNumber, jsonInteger } from '../json/json-value.ts';
import type { JsonObject, JsonValue } from '../json/json-value.ts';
import { stringifyJson } from '../json/stringify-json.ts';
import { LIMITS } from '../limits.ts';
import { ERROR_TABLE } from './error-table.ts';
import type { SyncError } from './sync-error.ts';

/** Longest message of an error body, in UTF-16 units: longer texts say nothing more to a developer. */
const MESSAGE_LENGTH_MAX = 1000;

/**
 * The JSON body of an error response: `error`, `message`, and those members of `details` that the contract allows
 * for the code, with bigint as exact integers.
 *
 * A body stays within 65536 bytes: `conflicts` is cut at the end, and if a violation does not fit, its `key` goes
 * first, then the member itself. Only a `push_conflict` may be larger, because its `server_row` must not be left out.
 */
export function encodeErrorBody(error: SyncError): JsonObject {
  const body = createJsonObject();
  body['error'] = error.code;
  body['message'] = boundedMessage(error.message);
  for (const name of ERROR_TABLE[error.code].wireMembers ?? []) {
    const value = toJson(error.details[name]);
    if (value !== undefined) body[name] = value;
  }
  if (byteLength(body) > LIMITS.errorBodyBytesMax) shrink(body);
  return body;
}

function boundedMessage(message: string): string {
  const text = message.slice(0, MESSAGE_LENGTH_MAX);
  return isWellFormed(text) ? text : text.replace(/\p{Surrogate}/gu, '\ufffd');
}

/** A copy as JSON: bigint becomes an integer, `undefined` members vanish, what has no JSON form is left out. */
function toJson(value: unknown): JsonValue | undefined {
  if (typeof value === 'bigint') return jsonInteger(value);
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return value;
  if (typeof value === 'number') return Number.isSafeInteger(value) ? value : undefined;
  if (value instanceof JsonNumber) return value;
  if (Array.isArray(value)) return value.map((item) => toJson(item) ?? null);
  return typeof value === 'object' ? objectToJson(value) : undefined;
}

function objectToJson(members: object): JsonObject {
  const copy = createJsonObject();
  for (const [name, member] of Object.entries(members)) {
    const value = toJson(member);
    if (value !== undefined) copy[name] = value;
  }
  return copy;
}

function byteLength(value: JsonValue): number {
  return new TextEncoder().encode(stringifyJson(value)).length;
}

function shrink(body: JsonObject): void {
  if (Array.isArray(body['conflicts'])) {
    cutConflicts(body, body['conflicts']);
    return;
  }
  if (body['conflict'] !== undefined) return;
  const violation = body['violation'];
  if (isJsonObject(violation)) delete violation['key'];
  if (byteLength(body) <= LIMITS.errorBodyBytesMax) return;
  for (const name of Object.keys(body)) if (name !== 'error' && name !== 'message') delete body[name];
}

/** Keeps the first conflicts that fit beside the rest of the body; a comma is counted for each. */
function cutConflicts(body: JsonObject, conflicts: readonly JsonValue[]): void {
  const kept: JsonValue[] = [];
  body['conflicts'] = kept;
  let room = LIMITS.errorBodyBytesMax - byteLength(body);
  for (const conflict of conflicts) {
    room -= byteLength(conflict) + 1;
    if (room < 0) break;
    kept.push(conflict);
  }
  if (kept.length === 0) delete body['conflicts'];
}
