import type { SqliteTx, SqlValue } from '../ports/sqlite-driver.ts';
import { keyJsonOf } from '../rules/check-incoming.ts';
import type { RowOp, RowValues } from '../rules/conflict-types.ts';
import type { LocalSchema, LocalTable } from '../rules/local-schema.ts';
import { rowFromCaptured, rowFromWire } from '../rules/row-values.ts';
import { wireKeyOf } from '../rules/wire-key.ts';
import { countColumn, optionalTextColumn, textColumn } from './columns.ts';
import { rowOp } from './outbox.ts';
import type { QuarantineOrigin } from './store-types.ts';

/** A row set aside, with everything that is known about it. */
export interface QuarantineEntry {
  readonly table: string;
  /** Wire form. */
  readonly key: string;
  readonly op: RowOp;
  /** The local row; `null` for a deletion, and for a payload that is no row of the table any more. */
  readonly payload: RowValues | null;
  readonly origin: QuarantineOrigin;
  readonly code: string;
  /** Column, constraint or category. */
  readonly detail: string | null;
  /** Whose value the application table holds. */
  readonly shows: 'local' | 'server';
  readonly attempts: number;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  /** The newest image of the server, where one is stored; `null` = deleted there. */
  readonly serverRow?: RowValues | null;
}

export interface QuarantinePage {
  readonly table?: string;
  readonly limit: number;
  /** The last entry of the page before. */
  readonly after?: { readonly table: string; readonly key: string };
}

/** Entries ordered by table and key. */
export async function listQuarantine(tx: SqliteTx, schema: LocalSchema, page: QuarantinePage): Promise<QuarantineEntry[]> {
  const { table = null, after, limit } = page;
  const afterKey = after === undefined ? '' : storedKeyOf(schema, after.table, after.key);
  const rows = await tx.all(LIST, [schema.name, table, table, after?.table ?? '', afterKey, BigInt(limit)]);
  return rows.map((row) => entryOf(schema, row));
}

/** One entry, `null` when the key is not quarantined. */
export async function getQuarantined(
  tx: SqliteTx,
  schema: LocalSchema,
  table: string,
  key: string,
): Promise<QuarantineEntry | null> {
  const [row] = await tx.all(GET, [schema.name, table, storedKeyOf(schema, table, key)]);
  return row === undefined ? null : entryOf(schema, row);
}

/** `key_json` of a wire key; a table that is not managed any more shows its keys as they are stored. */
export function storedKeyOf(schema: LocalSchema, tableName: string, key: string): string {
  const table = schema.tablesByName.get(tableName);
  return table === undefined ? key : keyJsonOf(table, key);
}

function entryOf(schema: LocalSchema, row: readonly SqlValue[]): QuarantineEntry {
  const tableName = textColumn(row, 0);
  const table = schema.tablesByName.get(tableName);
  const payload = optionalTextColumn(row, 3);
  const entry: QuarantineEntry = {
    table: tableName,
    key: wireKeyOf(table, textColumn(row, 1)),
    op: rowOp(textColumn(row, 2)),
    payload: table === undefined || payload === null ? null : readable(table, payload),
    origin: originOf(textColumn(row, 4)),
    code: textColumn(row, 5),
    detail: optionalTextColumn(row, 6),
    shows: textColumn(row, 7) === 'local' ? 'local' : 'server',
    attempts: countColumn(row, 8),
    createdAt: textColumn(row, 9),
  };
  if (table === undefined || countColumn(row, 10) === 0) return entry;
  const image = optionalTextColumn(row, 11);
  return { ...entry, serverRow: image === null ? null : rowFromWire(table, image) };
}

function readable(table: LocalTable, payload: string): RowValues | null {
  try {
    return rowFromCaptured(table, payload);
  } catch {
    return null;
  }
}

function originOf(text: string): QuarantineOrigin {
  const found = ORIGINS.find((origin) => origin === text);
  if (found === undefined) throw new TypeError('the origin is not known');
  return found;
}

const ORIGINS: readonly QuarantineOrigin[] = ['freeze', 'push', 'pull', 'rebuild', 'resolver'];

const ENTRY = `
SELECT q.table_name, q.key_json, q.op, q.payload, q.origin, q.code, q.detail, q.shows, q.attempts, q.created_at,
  COALESCE(b.server_row_version > 0, 0), b.server_payload
FROM _oversync_quarantine q LEFT JOIN _oversync_row_bases b
ON b.schema_name = q.schema_name AND b.table_name = q.table_name AND b.key_json = q.key_json`;

/** Schema, table or NULL twice, last table and key, rows. */
const LIST = `${ENTRY}
WHERE q.schema_name = ? AND (? IS NULL OR q.table_name = ?) AND (q.table_name, q.key_json) > (?, ?)
ORDER BY q.table_name, q.key_json LIMIT ?`;

/** Identity. */
const GET = `${ENTRY} WHERE q.schema_name = ? AND q.table_name = ? AND q.key_json = ?`;
