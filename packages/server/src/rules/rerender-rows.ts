import { createJsonObject, isJsonObject, parseJson, stringifyJson } from '@oversync/protocol';
import type { JsonObject, JsonValue } from '@oversync/protocol';

import type { Catalog, ShapeColumn, TableDescription, TableShape } from './table-description.ts';

/** Deeper than any stored row can be: rows were parsed with the request limit when they came in. */
const STORED_DEPTH_MAX = 10_000;

/**
 * Brings stored wire rows into the current shapes: rows of tables that are no longer registered are left out, dropped columns
 * too, and added columns get the value recorded for rows from before them. `rowTexts` are rows joined by commas; `shapeKeys` name the
 * shape of each table in the block. Returns rows joined by commas, possibly none.
 */
export function rerenderRows(rowTexts: string, shapeKeys: readonly string[], catalog: Catalog): string {
  const shapeByTable = readShapeKeys(shapeKeys);
  const rows = parseJson(`[${rowTexts}]`, { depthMax: STORED_DEPTH_MAX });
  if (!Array.isArray(rows)) throw new Error('a stored block is not a list of rows');
  const texts: string[] = [];
  for (const row of rows) {
    if (!isJsonObject(row)) throw new Error('a stored row is not an object');
    const text = rerenderRow(row, shapeByTable, catalog);
    if (text !== undefined) texts.push(text);
  }
  return texts.join(',');
}

function readShapeKeys(shapeKeys: readonly string[]): ReadonlyMap<number, number> {
  const shapeByTable = new Map<number, number>();
  for (const key of shapeKeys) {
    const [tableId, shapeId] = key.split(':');
    shapeByTable.set(Number(tableId), Number(shapeId));
  }
  return shapeByTable;
}

function rerenderRow(row: JsonObject, shapeByTable: ReadonlyMap<number, number>, catalog: Catalog): string | undefined {
  const { schema, table: tableName, payload } = row;
  if (typeof schema !== 'string' || typeof tableName !== 'string') throw new Error('a stored row names no table');
  const table = catalog.tables.get(`${schema}.${tableName}`);
  if (table === undefined) return undefined;
  const shapeId = shapeByTable.get(table.tableId);
  if (!isJsonObject(payload) || shapeId === undefined || shapeId === table.shapeId) return stringifyJson(row);
  const from = getShape(catalog, table, shapeId);
  const to = getShape(catalog, table, table.shapeId);
  return stringifyJson({ ...row, payload: projectPayload(payload, from, to) });
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

function projectPayload(payload: JsonObject, from: TableShape, to: TableShape): JsonObject {
  const projected = createJsonObject();
  for (const column of to.columns) {
    const old = from.columns.find((candidate) => isSameColumn(candidate, column));
    const value = old === undefined ? undefined : payload[old.name];
    projected[column.name] =
      old === undefined || value === undefined
        ? parseJson(column.missingValue, { depthMax: STORED_DEPTH_MAX })
        : convertValue(value, old, column);
  }
  return projected;
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
