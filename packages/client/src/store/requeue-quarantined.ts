import { isConstraintFault } from '../ports/sqlite-fault.ts';
import type { SqliteTx } from '../ports/sqlite-driver.ts';
import type { LocalSchema, LocalTable } from '../rules/local-schema.ts';
import { deleteOneSql } from '../rules/row-sql.ts';
import { bigintColumn, optionalTextColumn, textColumn } from './columns.ts';
import type { RowIdentity } from './images.ts';
import { writeCaptured } from './set-aside.ts';

export interface RequeueResult {
  /** Entries that left quarantine. */
  readonly released: readonly RowIdentity[];
  /** Wire names of tables that were written. */
  readonly tables: readonly string[];
}

/**
 * Queues quarantined rows again. Where the table shows the server's row the local value is written back first; a row that a constraint
 * refuses stays. Rows that waited for a foreign key follow when a row of a table they refer to has left.
 */
export async function requeueQuarantined(
  tx: SqliteTx,
  schema: LocalSchema,
  keys: readonly RowIdentity[],
): Promise<RequeueResult> {
  const released: RowIdentity[] = [];
  const tables = new Set<string>();
  for (let open = keys; open.length > 0;) {
    const left: RowIdentity[] = [];
    for (const key of open) {
      const table = schema.tablesByName.get(key.table);
      if (table === undefined || !(await retryOne(tx, schema, table, key, tables))) continue;
      left.push(key);
    }
    released.push(...left);
    open = await waitingChildren(tx, schema, left);
  }
  return { released, tables: [...tables] };
}

/** Rows quarantined for a missing parent whose parent table has just lost an entry. */
export async function waitingChildren(tx: SqliteTx, schema: LocalSchema, left: readonly RowIdentity[]): Promise<RowIdentity[]> {
  const parents = new Set(left.map((key) => key.table));
  const children = schema.tables.filter((table) => table.references.some((reference) => parents.has(reference.parentTable)));
  if (children.length === 0) return [];
  const names = JSON.stringify(children.map((table) => table.wireName));
  return (await tx.all(WAITING_CHILDREN, [schema.name, names])).map((row) => ({
    table: textColumn(row, 0),
    keyJson: textColumn(row, 1),
  }));
}

async function retryOne(
  tx: SqliteTx,
  schema: LocalSchema,
  table: LocalTable,
  { keyJson }: RowIdentity,
  tables: Set<string>,
): Promise<boolean> {
  const identity = [schema.name, table.wireName, keyJson];
  const [row] = await tx.all(LOAD_ENTRY, identity);
  if (row === undefined) return false;
  const payload = optionalTextColumn(row, 2);
  const base = bigintColumn(row, 1);
  if (textColumn(row, 3) === 'local') {
    await tx.run(QUEUE, [...identity, textColumn(row, 0), base, payload]);
    await tx.run(DROP_ENTRY, identity);
    return true;
  }
  if (!(await writeBack(tx, table, keyJson, payload))) {
    await tx.run(
      'UPDATE _oversync_quarantine SET attempts = attempts + 1 WHERE schema_name = ? AND table_name = ? AND key_json = ?',
      identity,
    );
    return false;
  }
  await tx.run(SET_BASE, [base, ...identity]);
  await tx.run(DROP_ENTRY, identity);
  tables.add(table.wireName);
  return true;
}

/** An ordinary write, so that triggers capture it together with its cascades. */
async function writeBack(tx: SqliteTx, table: LocalTable, keyJson: string, payload: string | null): Promise<boolean> {
  await tx.exec('SAVEPOINT oversync_retry');
  try {
    if (payload === null) await tx.run(deleteOneSql(table), [keyJson]);
    else await writeCaptured(tx, table, payload);
    await tx.exec('RELEASE oversync_retry');
    return true;
  } catch (error) {
    await tx.exec('ROLLBACK TO oversync_retry; RELEASE oversync_retry');
    if (!isConstraintFault(error)) throw error;
    return false;
  }
}

/** Identity. Op, base, payload, shows. */
const LOAD_ENTRY = `
SELECT op, CAST(base_row_version AS TEXT), payload, shows FROM _oversync_quarantine
WHERE schema_name = ? AND table_name = ? AND key_json = ?`;

const DROP_ENTRY = 'DELETE FROM _oversync_quarantine WHERE schema_name = ? AND table_name = ? AND key_json = ?';

/** Identity, op, base, payload. A newer edit of the key stands, with the older base. */
const QUEUE = `
INSERT INTO _sync_dirty_rows(schema_name, table_name, key_json, op, base_row_version, payload, dirty_ordinal)
VALUES (?, ?, ?, ?, ?, ?, (SELECT COALESCE(MAX(dirty_ordinal), 0) + 1 FROM _sync_dirty_rows))
ON CONFLICT (schema_name, table_name, key_json) DO UPDATE SET base_row_version = MIN(base_row_version, excluded.base_row_version)`;

/** Base, identity. */
const SET_BASE = 'UPDATE _sync_dirty_rows SET base_row_version = ? WHERE schema_name = ? AND table_name = ? AND key_json = ?';

/** Schema, JSON array of tables. */
const WAITING_CHILDREN = `
SELECT table_name, key_json FROM _oversync_quarantine WHERE schema_name = ? AND code = 'foreign_key'
  AND table_name IN (SELECT value FROM json_each(?))`;
