import { canonicalJson, createSha256, isJsonObject } from '@oversync/protocol';
import type { JsonObject, JsonValue } from '@oversync/protocol';

/** A live row of the test server's table. */
export interface VerifiableRow {
  readonly key: string;
  readonly version: bigint;
  readonly payload: JsonObject;
  /** The row as a snapshot has it. */
  readonly snapshotRow: JsonObject;
}

/** `POST /sync/verify` for rows that are sorted by the bytes of their keys: adr/0030, with hashes that are written a second time here. */
export function verifyBody(rows: readonly VerifiableRow[], seq: bigint, request: JsonObject): JsonObject {
  const excluded = new Set(textsOf(request['excluded_keys']));
  const columns = new Set(textsOf(request['columns']));
  const partsMax = Number(request['parts']);
  const ranges = listOf(request['ranges']).map((range) => {
    const bounds = isJsonObject(range) ? range : {};
    const inRange = rows.filter((row) => isWithin(row.key, bounds) && !excluded.has(row.key));
    return { parts: partsOf(inRange, bounds, partsMax, columns) };
  });
  return { bundle_seq: Number(seq), ranges };
}

function partsOf(
  rows: readonly VerifiableRow[],
  bounds: JsonObject,
  partsMax: number,
  columns: ReadonlySet<string>,
): JsonObject[] {
  const size = Math.max(1, Math.ceil(rows.length / partsMax));
  const starts = rows.length === 0 ? [0] : rows.flatMap((_row, index) => (index % size === 0 ? [index] : []));
  return starts.map((start, index) => {
    const part = rows.slice(start, start + size);
    const through = index === starts.length - 1 ? bounds['through'] : part.at(-1)?.key;
    return { ...(through === undefined ? {} : { through }), row_count: part.length, hash: hashOf(part, columns) };
  });
}

function hashOf(rows: readonly VerifiableRow[], columns: ReadonlySet<string>): string {
  const outer = createSha256();
  for (const { version, payload } of rows) {
    const members = Object.fromEntries(Object.entries(payload).filter(([name]) => columns.has(name)));
    const inner = createSha256();
    inner.update(`${version} ${canonicalJson(members)}`);
    outer.update(inner.digestHex());
  }
  return outer.digestHex();
}

/** `POST /sync/verify/rows`, two rows to a page however many are asked for. */
export function verifyRowsBody(rows: readonly VerifiableRow[], seq: bigint, request: JsonObject): JsonObject {
  const inRange = rows.filter((row) => isWithin(row.key, request));
  const page = inRange.slice(0, 2);
  return {
    bundle_seq: Number(seq),
    rows: page.map((row) => row.snapshotRow),
    has_more: page.length < inRange.length,
  };
}

/** Keys of the tests are ASCII: their order is that of their bytes. */
function isWithin(key: string, { after, through }: JsonObject): boolean {
  return (typeof after !== 'string' || key > after) && (typeof through !== 'string' || key <= through);
}

function listOf(value: JsonValue | undefined): readonly JsonValue[] {
  return Array.isArray(value) ? value : [];
}

function textsOf(value: JsonValue | undefined): readonly string[] {
  return listOf(value).filter((entry) => typeof entry === 'string');
}
