import { SyncError } from '../errors/sync-error.ts';
import { isWellFormed } from '../ids.ts';
import type { RowOp } from '../hash/row-text.ts';
import { isJsonObject, parseInt64 } from '../json/json-value.ts';
import type { JsonObject, JsonValue } from '../json/json-value.ts';
import { SCOPE_COLUMN } from '../limits.ts';

/**
 * Rows are checked by hand: a page holds thousands, and a validation library would cost more than reading the JSON.
 */

/** One row of a committed bundle, in pull pages and committed-rows pages. */
export interface BundleRow {
  readonly schema: string;
  readonly table: string;
  /** Exactly one member with a string value. */
  readonly key: JsonObject;
  readonly op: RowOp;
  readonly row_version: bigint;
  /** `null` exactly for DELETE. */
  readonly payload: JsonObject | null;
}

/** One row of a snapshot chunk: always a live row. */
export interface SnapshotRow {
  readonly schema: string;
  readonly table: string;
  /** Exactly one member with a string value. */
  readonly key: JsonObject;
  readonly row_version: bigint;
  readonly payload: JsonObject;
}

/** What `details.reason` says about a row that is refused. */
export type RowFault = 'row_shape' | 'hidden_column';

const SNAPSHOT_ROW_MEMBERS = 5;

/** True for an object with exactly one member whose value is a string. */
export function isRowKey(value: JsonValue | undefined): value is JsonObject {
  if (!isJsonObject(value)) return false;
  const names = Object.keys(value);
  const [name] = names;
  return names.length === 1 && name !== undefined && typeof value[name] === 'string';
}

/** True for the three operations in the spelling of the wire. */
export function isRowOp(value: JsonValue | undefined): value is RowOp {
  return value === 'INSERT' || value === 'UPDATE' || value === 'DELETE';
}

function refuse(reason: RowFault): never {
  throw new SyncError('protocol_violation', { details: { reason } });
}

function readName(value: JsonValue | undefined): string {
  return typeof value === 'string' && value !== '' && isWellFormed(value) ? value : refuse('row_shape');
}

function readKey(value: JsonValue | undefined): JsonObject {
  return isRowKey(value) ? value : refuse('row_shape');
}

function readVersion(value: JsonValue | undefined): bigint {
  const version = parseInt64(value);
  return version === null || version <= 0n ? refuse('row_shape') : version;
}

function readPayload(value: JsonValue | undefined): JsonObject {
  if (!isJsonObject(value)) return refuse('row_shape');
  return Object.hasOwn(value, SCOPE_COLUMN) ? refuse('hidden_column') : value;
}

/**
 * Checks one row of a pull or committed-rows page. A DELETE may carry `payload: null`; members that are not known
 * are ignored.
 *
 * @throws SyncError `protocol_violation` with `details.reason` = `row_shape` or `hidden_column`
 */
export function checkBundleRow(value: JsonValue): BundleRow {
  if (!isJsonObject(value)) return refuse('row_shape');
  const { op, payload } = value;
  if (!isRowOp(op)) return refuse('row_shape');
  const hasPayload = payload !== undefined && payload !== null;
  if (op === 'DELETE' && hasPayload) return refuse('row_shape');
  return {
    schema: readName(value['schema']),
    table: readName(value['table']),
    key: readKey(value['key']),
    op,
    row_version: readVersion(value['row_version']),
    payload: op === 'DELETE' ? null : readPayload(payload),
  };
}

/**
 * Checks one row of a snapshot chunk, a closed shape: one member more or less is refused.
 *
 * @throws SyncError `protocol_violation` with `details.reason` = `row_shape` or `hidden_column`
 */
export function checkSnapshotRow(value: JsonValue): SnapshotRow {
  if (!isJsonObject(value) || Object.keys(value).length !== SNAPSHOT_ROW_MEMBERS) return refuse('row_shape');
  return {
    schema: readName(value['schema']),
    table: readName(value['table']),
    key: readKey(value['key']),
    row_version: readVersion(value['row_version']),
    payload: readPayload(value['payload']),
  };
}
