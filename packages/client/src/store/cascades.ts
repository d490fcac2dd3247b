import type { SqliteTx } from '../ports/sqlite-driver.ts';
import type { LocalSchema, LocalTable } from '../rules/local-schema.ts';
import { isLiveSql } from '../rules/row-sql.ts';
import { wireKeyOf } from '../rules/wire-key.ts';
import { textColumn } from './columns.ts';
import { rowOp } from './outbox.ts';
import { quarantineOrphansSql, selectOrphansSql } from './page.sql.ts';
import type { PageTable } from './page.ts';
import type { QuarantineLog } from './set-aside.ts';
import type { QuarantineOrigin } from './store-types.ts';

/**
 * client.md 7.2 step 5: unsent upserts whose live row was removed by the cascade of a server's deletion go to quarantine; the table
 * already shows the server's state.
 */
export async function quarantineCascaded(
  tx: SqliteTx,
  schema: LocalSchema,
  written: readonly PageTable[],
  origin: QuarantineOrigin,
  log: QuarantineLog,
): Promise<void> {
  const deleted = written.filter((table) => table.hasDeletes).map(({ table }) => table);
  for (const table of descendants(schema, deleted)) {
    const isLive = isLiveSql(table, 'd.key_json');
    const orphans = await tx.all(selectOrphansSql(isLive), [schema.name, table.wireName]);
    if (orphans.length === 0) continue;
    await tx.run(quarantineOrphansSql(isLive), [origin, schema.name, table.wireName]);
    await tx.run(DROP_ORPHANS, [schema.name, table.wireName]);
    await tx.run(ADOPT_IMAGES, [schema.name, table.wireName]);
    await tx.run(DROP_ADOPTED, [schema.name, table.wireName]);
    log.tables.add(table.wireName);
    for (const row of orphans) {
      const key = wireKeyOf(table, textColumn(row, 0));
      log.add({ table: table.wireName, key, op: rowOp(textColumn(row, 1)), origin, code: 'parent_deleted' });
    }
  }
}

/** Tables that refer, also through others, to one of `parents`. */
function descendants(schema: LocalSchema, parents: readonly LocalTable[]): LocalTable[] {
  const reached = new Set(parents.map((table) => table.wireName));
  const found = new Set<LocalTable>();
  for (let size = -1; size !== found.size;) {
    size = found.size;
    for (const table of schema.tables) {
      if (!table.references.some((reference) => reached.has(reference.parentTable))) continue;
      found.add(table);
      reached.add(table.wireName);
    }
  }
  return [...found];
}

/* Each takes schema and table, and acts on what was just quarantined as `parent_deleted`. */

const IS_ORPHAN = `EXISTS (SELECT 1 FROM _oversync_quarantine q WHERE q.schema_name = r.schema_name AND q.table_name = r.table_name
  AND q.key_json = r.key_json AND q.code = 'parent_deleted' AND q.shows = 'server')`;

const DROP_ORPHANS = `DELETE FROM _sync_dirty_rows AS r WHERE r.schema_name = ? AND r.table_name = ? AND r.payload IS NOT NULL AND ${IS_ORPHAN}`;

/** The image that came with the deletion is what the table shows now. */
const ADOPT_IMAGES = `
INSERT INTO _sync_row_state(schema_name, table_name, key_json, row_version, deleted)
SELECT r.schema_name, r.table_name, r.key_json, r.server_row_version, 1 FROM _oversync_row_bases r
WHERE r.schema_name = ? AND r.table_name = ? AND r.server_row_version > 0 AND r.server_deleted = 1 AND ${IS_ORPHAN}
ON CONFLICT (schema_name, table_name, key_json) DO UPDATE SET row_version = excluded.row_version, deleted = 1,
  updated_at = excluded.updated_at`;

const DROP_ADOPTED = `
DELETE FROM _oversync_row_bases AS r WHERE r.schema_name = ? AND r.table_name = ? AND r.server_row_version > 0 AND r.server_deleted = 1
  AND ${IS_ORPHAN}`;
