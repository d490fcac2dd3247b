import type { SqliteTx } from '../ports/sqlite-driver.ts';
import type { CheckedRow } from '../rules/incoming-row.ts';
import type { LocalSchema } from '../rules/local-schema.ts';
import { bigintColumn, countColumn, optionalTextColumn, textColumn } from './columns.ts';

export interface RowIdentity {
  readonly table: string;
  readonly keyJson: string;
}

/** The stored images of keys, as rows that can be applied. */
export async function loadImages(tx: SqliteTx, schema: LocalSchema, keys: readonly RowIdentity[]): Promise<CheckedRow[]> {
  const wanted = JSON.stringify(keys.map((key) => [key.table, key.keyJson]));
  return (await tx.all(LOAD_IMAGES, [wanted, schema.name])).map((row) => ({
    schema: schema.name,
    table: textColumn(row, 0),
    keyJson: textColumn(row, 1),
    op: countColumn(row, 2) === 1 ? 'DELETE' : 'INSERT',
    rowVersion: bigintColumn(row, 3),
    payload: optionalTextColumn(row, 4),
  }));
}

/** JSON array of [table, key_json], schema. */
const LOAD_IMAGES = `
SELECT b.table_name, b.key_json, b.server_deleted, CAST(b.server_row_version AS TEXT), b.server_payload
FROM json_each(?) wanted JOIN _oversync_row_bases b
ON b.schema_name = ? AND b.table_name = wanted.value->>0 AND b.key_json = wanted.value->>1 WHERE b.server_row_version > 0`;
