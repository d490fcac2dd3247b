import { canonicalJson } from '../json/canonical-json.ts';
import type { JsonObject } from '../json/json-value.ts';
import { quoteJson } from '../json/stringify-json.ts';

/** What an upload or a committed row does to its key. */
export type RowOp = 'INSERT' | 'UPDATE' | 'DELETE';

/**
 * The members both hashes share, under their wire names. `key` and `payload` are objects, or the canonical text of
 * one, which is spliced without being read. A DELETE has no payload, `null` or absent.
 */
export interface HashedRow {
  readonly schema: string;
  readonly table: string;
  readonly key: JsonObject | string;
  readonly op: RowOp;
  readonly payload?: JsonObject | string | null | undefined;
}

/** A row of a push. */
export interface RequestHashRow extends HashedRow {
  readonly base_row_version: bigint;
}

/** A row of a committed bundle. */
export interface CommittedHashRow extends HashedRow {
  readonly row_version: bigint;
}

function objectText(value: JsonObject | string | null | undefined): string {
  if (typeof value === 'string') return value;
  return value === null || value === undefined ? 'null' : canonicalJson(value);
}

/**
 * Canonical text of one row of the request hash. Members stand in UTF-16 order, counters as strings.
 *
 * @param ordinal position in the push, from 0 over all chunks
 * @throws JsonValueError when key or payload have no canonical text.
 */
export function requestRowText(row: RequestHashRow, ordinal: number | bigint): string {
  return (
    `{"base_row_version":"${row.base_row_version}","key":${objectText(row.key)},"op":"${row.op}",` +
    `"payload":${objectText(row.payload)},"row_ordinal":"${ordinal}",` +
    `"schema":${quoteJson(row.schema)},"table":${quoteJson(row.table)}}`
  );
}

/**
 * Canonical text of one row of the bundle hash.
 *
 * @param ordinal position in the bundle, from 0
 * @throws JsonValueError when key or payload have no canonical text.
 */
export function committedRowText(row: CommittedHashRow, ordinal: number | bigint): string {
  return (
    `{"key":${objectText(row.key)},"op":"${row.op}","payload":${objectText(row.payload)},` +
    `"row_ordinal":"${ordinal}","row_version":"${row.row_version}",` +
    `"schema":${quoteJson(row.schema)},"table":${quoteJson(row.table)}}`
  );
}
