import { COLUMN_FAMILIES } from '../rules/column-family.ts';
import type { ShapeColumn } from '../rules/table-description.ts';

const FAMILIES: ReadonlySet<string> = new Set<string>(COLUMN_FAMILIES);

/** Reads `table_shape.columns`, which only this product writes; anything else in it is a damaged schema. */
export function parseShapeColumns(text: string): readonly ShapeColumn[] {
  const parsed: unknown = JSON.parse(text);
  if (!Array.isArray(parsed)) throw new TypeError('table_shape.columns is not an array');
  return parsed.map((entry: unknown) => {
    if (!isShapeColumn(entry)) throw new TypeError('table_shape.columns holds an unknown form');
    return { name: entry.name, family: entry.family, jsonAsText: entry.jsonAsText, missingValue: entry.missingValue };
  });
}

function isShapeColumn(entry: unknown): entry is ShapeColumn {
  if (typeof entry !== 'object' || entry === null) return false;
  const { name, family, jsonAsText, missingValue } = entry as Partial<Record<keyof ShapeColumn, unknown>>;
  return (
    typeof name === 'string' &&
    typeof family === 'string' &&
    FAMILIES.has(family) &&
    typeof jsonAsText === 'boolean' &&
    typeof missingValue === 'string'
  );
}

/** True when rows of both shapes have the same wire form. Recorded missing values do not count. */
export function isSameShape(left: readonly ShapeColumn[], right: readonly ShapeColumn[]): boolean {
  return (
    left.length === right.length &&
    left.every((column, index) => {
      const other = right[index];
      return other?.name === column.name && other.family === column.family && other.jsonAsText === column.jsonAsText;
    })
  );
}
