import { COLUMN_FAMILIES } from '../rules/column-family.ts';
import type { ShapeColumn, TableShape } from '../rules/table-description.ts';

const FAMILIES: ReadonlySet<string> = new Set<string>(COLUMN_FAMILIES);

/** Reads `table_shape.columns`, which only this product writes; anything else in it is a damaged schema. */
export function parseShapeColumns(text: string): readonly ShapeColumn[] {
  const parsed: unknown = JSON.parse(text);
  if (!Array.isArray(parsed)) throw new TypeError('table_shape.columns is not an array');
  return parsed.map((entry: unknown) => {
    if (!isShapeColumn(entry)) throw new TypeError('table_shape.columns holds an unknown form');
    const { name, family, jsonAsText, origin, missingValue } = entry;
    return { name, family, jsonAsText, ...(origin === undefined ? {} : { origin }), missingValue };
  });
}

function isShapeColumn(entry: unknown): entry is ShapeColumn {
  if (typeof entry !== 'object' || entry === null) return false;
  const { name, family, jsonAsText, origin, missingValue } = entry as Partial<Record<keyof ShapeColumn, unknown>>;
  return (
    typeof name === 'string' &&
    typeof family === 'string' &&
    FAMILIES.has(family) &&
    typeof jsonAsText === 'boolean' &&
    (origin === undefined || typeof origin === 'string') &&
    typeof missingValue === 'string'
  );
}

/** True when both shapes have the same columns in the same wire form. Recorded missing values do not count. */
function isSameShape(left: readonly ShapeColumn[], right: readonly ShapeColumn[]): boolean {
  return (
    left.length === right.length &&
    left.every((column, index) => {
      const other = right[index];
      return (
        other?.name === column.name &&
        other.family === column.family &&
        other.jsonAsText === column.jsonAsText &&
        other.origin === column.origin
      );
    })
  );
}

/** The recorded shape with the most of these columns and no others, the latest if there are several. */
export function findLargestShape(
  shapes: readonly TableShape[],
  tableId: number,
  columns: readonly ShapeColumn[],
): TableShape | undefined {
  const byName = new Map(columns.map((column) => [column.name, column]));
  const fits = ({ name, ...recorded }: ShapeColumn): boolean => {
    const column = byName.get(name);
    return column !== undefined && isSameShape([{ ...recorded, name }], [column]);
  };
  return shapes
    .filter((shape) => shape.tableId === tableId && shape.columns.every(fits))
    .reduce<TableShape | undefined>(
      (best, shape) => (best === undefined || shape.columns.length >= best.columns.length ? shape : best),
      undefined,
    );
}

/**
 * The recorded shape of a table with these columns, the latest if there are several. Processes that publish different columns of one
 * table for a while, as during a deployment, so keep to their own shapes instead of recording new ones in turn.
 */
export function findShape(
  shapes: readonly TableShape[],
  tableId: number,
  columns: readonly ShapeColumn[],
): TableShape | undefined {
  return shapes.findLast((shape) => shape.tableId === tableId && isSameShape(shape.columns, columns));
}
