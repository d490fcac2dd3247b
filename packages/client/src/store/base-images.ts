import type { SqliteTx } from '../ports/sqlite-driver.ts';
import { capturedFromWire } from '../rules/captured-from-wire.ts';
import type { LocalSchema } from '../rules/local-schema.ts';
import { countColumn, textColumn } from './columns.ts';
import { insertRows } from './insert-rows.ts';

/** Rows held at once. */
const BASE_ROWS = 100;

/** For tables that keep base images: the committed row is what the kept local row was edited from. */
export async function saveCommittedBases(tx: SqliteTx, schema: LocalSchema): Promise<void> {
  const tables = schema.tables.filter((table) => table.capturesBase).map((table) => table.wireName);
  if (tables.length === 0) return;
  for (let after = -1; ;) {
    const rows = await tx.all(REQUEUED_ROWS, [JSON.stringify(tables), BigInt(after), BigInt(BASE_ROWS)]);
    const last = rows.at(-1);
    if (last === undefined) return;
    after = countColumn(last, 0);
    const bases = rows.flatMap((row) => {
      const table = schema.tablesByName.get(textColumn(row, 1));
      if (table === undefined) return [];
      return [[schema.name, table.wireName, textColumn(row, 2), textColumn(row, 3), capturedFromWire(table, textColumn(row, 4))]];
    });
    await insertRows(tx, INSERT_BASE, 5, bases, ON_BASE);
  }
}

/** JSON array of tables, ordinal (exclusive), rows. */
const REQUEUED_ROWS = `
SELECT ordinal, table_name, key_json, CAST(row_version AS TEXT), payload FROM _oversync_work._oversync_page
WHERE verdict = 3 AND payload IS NOT NULL AND table_name IN (SELECT value FROM json_each(?)) AND ordinal > ? ORDER BY ordinal LIMIT ?`;

const INSERT_BASE = 'INSERT INTO _oversync_row_bases(schema_name, table_name, key_json, base_row_version, base_payload)';
const ON_BASE = `ON CONFLICT (schema_name, table_name, key_json) DO UPDATE SET base_row_version = excluded.base_row_version,
  base_payload = excluded.base_payload`;
