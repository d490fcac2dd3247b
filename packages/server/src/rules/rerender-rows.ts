import { createJsonObject, isJsonObject, parseJson, stringifyJson } from '@oversync/protocol';
import type { JsonObject, JsonValue } from '@oversync/protocol';

import type { Catalog, ShapeColumn, TableDescription, TableShape } from './table-description.ts';

/** Deeper than any stored row can be: rows were parsed with the request limit when they came in. */
const STORED_DEPTH_MAX = 10_000;

/** A stored row, and what it takes to send it in the current shape of its table. */
export interface StoredRow {
  readonly row: JsonObject;
  /** Absent when the row is sent as it is. */
  readonly projection?: Projection;
}

interface Projection {
  readonly payload: JsonObject;
  readonly table: TableDescription;
  readonly from: TableShape;
  readonly to: TableShape;
  /** Columns whose values the row does not hold in their present form. */
  readonly missing: readonly string[];
}

/** Whose values are missing. */
export interface LiveRequest {
  readonly table: TableDescription;
  readonly keyText: string;
  readonly columns: readonly string[];
}

/** What the table holds now for a row of history. */
export interface LiveRow {
  /** Decimal digits of the version of the row now. */
  readonly rowVersion: string;
  /** JSON text of an object with the wanted columns. */
  readonly payloadText: string;
}

/** Rows of a stored block, those of tables that are no longer registered left out. `shapeKeys` name the shape of each table in it. */
export function readStoredRows(rowTexts: string, shapeKeys: readonly string[], catalog: Catalog): StoredRow[] {
  const shapeByTable = readShapeKeys(shapeKeys);
  const rows = parseJson(`[${rowTexts}]`, { depthMax: STORED_DEPTH_MAX });
  if (!Array.isArray(rows)) throw new Error('a stored block is not a list of rows');
  return rows.flatMap((row) => {
    if (!isJsonObject(row)) throw new Error('a stored row is not an object');
    return readStoredRow(row, shapeByTable, catalog) ?? [];
  });
}

/** What has to be looked up before the row can be rendered; `undefined`: nothing. */
export function findLiveRequest({ row, projection }: StoredRow): LiveRequest | undefined {
  if (projection === undefined || projection.missing.length === 0) return undefined;
  const { table, missing: columns } = projection;
  const keyText = isJsonObject(row['key']) ? row['key'][table.keyColumn] : undefined;
  if (typeof keyText !== 'string') throw new Error('a stored row has no key');
  return { table, keyText, columns };
}

/**
 * The row in the current shape of its table: dropped columns are left out, and columns that it does not hold come from the table, where
 * the row is still `live`, because not every process may have known the column when the row was written. A row that is gone is followed
 * by its deletion; it gets the value that is recorded for rows from before the column.
 */
export function renderStoredRow({ row, projection }: StoredRow, live?: LiveRow): string {
  if (projection === undefined) return stringifyJson(row);
  return stringifyJson({ ...row, payload: projectPayload(projection, row, live) });
}

/**
 * Brings stored wire rows into the current shapes. `rowTexts` are rows joined by commas. `takeLive` gives the answers to the requests of
 * {@link findLiveRequest}, one after the other. Returns rows joined by commas, possibly none.
 */
export function rerenderRows(
  rowTexts: string,
  shapeKeys: readonly string[],
  catalog: Catalog,
  takeLive: () => LiveRow | undefined = () => undefined,
): string {
  return readStoredRows(rowTexts, shapeKeys, catalog)
    .map((stored) => renderStoredRow(stored, findLiveRequest(stored) === undefined ? undefined : takeLive()))
    .join(',');
}

function readShapeKeys(shapeKeys: readonly string[]): ReadonlyMap<number, number> {
  const shapeByTable = new Map<number, number>();
  for (const key of shapeKeys) {
    const [tableId, shapeId] = key.split(':');
    shapeByTable.set(Number(tableId), Number(shapeId));
  }
  return shapeByTable;
}

function readStoredRow(row: JsonObject, shapeByTable: ReadonlyMap<number, number>, catalog: Catalog): StoredRow | undefined {
  const { schema, table: tableName, payload } = row;
  if (typeof schema !== 'string' || typeof tableName !== 'string') throw new Error('a stored row names no table');
  const table = catalog.tables.get(`${schema}.${tableName}`);
  if (table === undefined) return undefined;
  const shapeId = shapeByTable.get(table.tableId);
  if (!isJsonObject(payload) || shapeId === undefined || shapeId === table.shapeId) return { row };
  const from = getShape(catalog, table, shapeId);
  const to = getShape(catalog, table, table.shapeId);
  return { row, projection: { payload, table, from, to, missing: findMissing(from, to) } };
}

function findMissing(from: TableShape, to: TableShape): readonly string[] {
  const isHeld = (column: ShapeColumn): boolean => {
    const old = findOld(from, column);
    return old !== undefined && old.family === column.family && old.jsonAsText === column.jsonAsText;
  };
  return to.columns.filter((column) => !isHeld(column)).map(({ name }) => name);
}

function findOld(from: TableShape, column: ShapeColumn): ShapeColumn | undefined {
  return from.columns.find((candidate) => isSameColumn(candidate, column));
}

/** @throws UnrecordedShapeError if rows of one of the shapes could not be rendered. */
export function checkShapesRecorded(shapeKeys: readonly string[], catalog: Catalog): void {
  for (const [tableId, shapeId] of readShapeKeys(shapeKeys)) {
    const table = catalog.byId.get(tableId);
    if (table !== undefined) getShape(catalog, table, shapeId);
  }
}

/** A row has a shape that another process has recorded since this one read the catalog. */
export class UnrecordedShapeError extends Error {
  override readonly name = 'UnrecordedShapeError';
}

function getShape(catalog: Catalog, table: TableDescription, shapeId: number): TableShape {
  const shape = catalog.shapes.get(table.tableId)?.get(shapeId);
  if (shape === undefined) throw new UnrecordedShapeError(`shape ${String(shapeId)} of ${table.name} is not recorded`);
  return shape;
}

function projectPayload(projection: Projection, row: JsonObject, live?: LiveRow): JsonObject {
  const { payload, from, to } = projection;
  const present = live === undefined ? createJsonObject() : readLiveColumns(projection, row, live);
  const projected = createJsonObject();
  for (const column of to.columns) {
    const value = present[column.name];
    projected[column.name] = value === undefined ? takeStored(payload, from, column) : value;
  }
  return projected;
}

function takeStored(payload: JsonObject, from: TableShape, column: ShapeColumn): JsonValue {
  const old = findOld(from, column);
  const value = old === undefined ? undefined : payload[old.name];
  if (old !== undefined && value !== undefined) return convertValue(value, old, column);
  return parseJson(column.missingValue, { depthMax: STORED_DEPTH_MAX });
}

/**
 * A row that was not written since holds what it held at this bundle. Otherwise a later value comes early, which is better than none, but
 * not where a device could refuse it: the row that a foreign key names may come with a later bundle, too.
 */
function readLiveColumns({ table, missing }: Projection, row: JsonObject, { rowVersion, payloadText }: LiveRow): JsonObject {
  const live = parseJson(payloadText, { depthMax: STORED_DEPTH_MAX });
  if (!isJsonObject(live)) throw new Error('the columns of a row are not an object');
  const isUnchanged = row['row_version'] !== undefined && stringifyJson(row['row_version']) === rowVersion;
  const taken = createJsonObject();
  for (const name of missing) {
    const value = live[name];
    if (value !== undefined && (isUnchanged || table.columnByName.get(name)?.isConstrained !== true)) taken[name] = value;
  }
  return taken;
}

/**
 * In one table the attribute number decides, so that a column may be renamed, and one that was dropped and added again is another. In a
 * table that was made anew, as by a restore, only the name is left.
 */
function isSameColumn(left: ShapeColumn, right: ShapeColumn): boolean {
  const [leftTable, leftNumber] = left.origin?.split('.') ?? [];
  const [rightTable, rightNumber] = right.origin?.split('.') ?? [];
  const isSameTable = leftTable !== undefined && leftTable === rightTable;
  return isSameTable ? leftNumber === rightNumber : left.name === right.name;
}

/** A column that changed between nested JSON, JSON text, boolean and text keeps its meaning as far as text can carry it. */
function convertValue(value: JsonValue, from: ShapeColumn, to: ShapeColumn): JsonValue {
  if (value === null) return null;
  const isNested = to.family === 'json' && !to.jsonAsText;
  const wasNested = from.family === 'json' && !from.jsonAsText;
  if (isNested) return !wasNested && typeof value === 'string' ? parseStoredJson(value) : value;
  if (to.family === 'boolean') return typeof value === 'string' ? value === 'true' || value === '1' || value === 't' : value;
  if (typeof value === 'string') return value;
  return stringifyJson(value);
}

function parseStoredJson(text: string): JsonValue {
  try {
    return parseJson(text, { depthMax: STORED_DEPTH_MAX });
  } catch {
    return text;
  }
}

/** Keys `table_id:shape_id` of the shapes that rows may have to be sent unchanged. */
export function listCurrentShapeKeys(catalog: Catalog): readonly string[] {
  return [...catalog.tables.values()].map((table) => `${String(table.tableId)}:${String(table.shapeId)}`);
}

/** Reads PostgreSQL's text of a `text[]` of shape keys, which need no quoting. */
export function parseShapeKeys(text: string): readonly string[] {
  const inner = text.slice(1, -1);
  return inner === '' ? [] : inner.split(',');
}
