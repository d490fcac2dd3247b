import type { LocalTable } from './local-schema.ts';

/** A column as queued rows were captured with it. */
export interface ShapeColumn {
  readonly wireName: string;
  /** The kind, and whether the text is nested JSON: what decides how a captured value is read. */
  readonly form: string;
}

/** How the columns of a table have changed since its rows were queued. */
export interface ShapeChange {
  readonly table: LocalTable;
  readonly before: readonly ShapeColumn[];
  readonly added: readonly string[];
  /** Columns that are gone, under this name at least, or that hold values of another kind. */
  readonly lost: readonly string[];
}

/** Shapes by table, as they are stored. */
export type StoredShapes = Readonly<Record<string, string>>;

/** The stored form of a shape. */
export function formatShape(table: LocalTable): string {
  return table.columns.map((column) => `${column.wireName}:${formOf(column)}`).join();
}

function formOf(column: LocalTable['columns'][number]): string {
  return column.isJson ? 'json' : column.kind;
}

/** Reads stored shapes; anything else counts as none. */
export function parseShapes(stored: string | null): StoredShapes | null {
  if (stored === null) return null;
  const parsed: unknown = JSON.parse(stored);
  if (typeof parsed !== 'object' || parsed === null) return null;
  return Object.fromEntries(Object.entries(parsed).map(([table, shape]): [string, string] => [table, String(shape)]));
}

/** `null` when the table is as it was, or was not there. */
export function compareShape(before: StoredShapes, table: LocalTable): ShapeChange | null {
  const stored = before[table.wireName];
  if (stored === undefined || stored === formatShape(table)) return null;
  const columns = stored.split(',').map((text): ShapeColumn => {
    const [wireName = '', form = ''] = text.split(':');
    return { wireName, form };
  });
  const added = table.columns.filter((column) => !columns.some(({ wireName }) => wireName === column.wireName));
  const lost = columns.filter(
    ({ wireName, form }) => !table.columns.some((column) => column.wireName === wireName && formOf(column) === form),
  );
  return {
    table,
    before: columns,
    added: added.map((column) => column.wireName),
    lost: lost.map(({ wireName }) => wireName),
  };
}

/** The table as it was, for reading rows that were captured then. */
export function tableBefore({ table, before }: ShapeChange): LocalTable {
  const columns = before.map(({ wireName, form }) => ({
    name: wireName,
    wireName,
    kind: kindOf(form),
    isJson: form === 'json',
    isNotNull: false,
    isBoolean: false,
  }));
  const key = columns.find((column) => column.wireName === table.key.wireName) ?? table.key;
  return { ...table, columns, key };
}

function kindOf(form: string): LocalTable['key']['kind'] {
  return form === 'uuidBlob' || form === 'blob' || form === 'real' || form === 'integer' ? form : 'text';
}
