import { isConstraintFault } from '../ports/sqlite-fault.ts';
import type { SqliteTx } from '../ports/sqlite-driver.ts';
import type { LocalColumn, LocalReference, LocalSchema, LocalTable } from '../rules/local-schema.ts';
import { childrenSql, deleteOneSql, holdersSql, orphansSql, parkSql, upsertOneSql } from '../rules/row-sql.ts';
import { bigintColumn, countColumn, optionalTextColumn, textColumn } from './columns.ts';
import { loadPageTables, savePageState } from './page.ts';
import type { PageTable, Pending } from './page.ts';
import { loadIntent, setAsideForServer } from './set-aside.ts';
import type { QuarantineLog } from './set-aside.ts';
import type { DeferReason } from './store-types.ts';

/** Rows read at once; each is then written by its own statement. */
const STEP_ROWS = 200;

/** Rows one failing row may push aside before it counts as unexplained. */
const ATTEMPTS_MAX = 8;

/** A bundle that has to wait for the next push, and why. */
export class DeferredBundle extends Error {
  readonly reason: DeferReason;

  constructor(reason: DeferReason) {
    super('a pulled bundle waits for the next push');
    this.reason = reason;
  }
}

/** A constraint failure that nothing pending explains: only a rebuild helps. */
export class UnexplainedFailure extends Error {}

interface Careful {
  readonly tx: SqliteTx;
  readonly schema: LocalSchema;
  readonly log: QuarantineLog;
}

/**
 * Writes the page row by row under savepoints and moves pending rows that stand in the way aside (client.md 7.2, constraint failures).
 * Runs only after the set-based way has failed.
 *
 * @throws DeferredBundle, UnexplainedFailure; SyncError `quarantine_limit_reached`
 */
export async function writePageCarefully(
  tx: SqliteTx,
  schema: LocalSchema,
  pending: Pending,
  log: QuarantineLog,
): Promise<readonly PageTable[]> {
  const careful = { tx, schema, log };
  const tables = await loadPageTables(tx, schema);
  for (const { table, hasUpserts } of tables) if (hasUpserts) await upsertTable(careful, table);
  for (const { table, hasDeletes } of [...tables].reverse()) if (hasDeletes) await deleteTable(careful, table);
  await savePageState(tx, schema, pending);
  await settleForeignKeys(careful);
  return tables;
}

async function upsertTable(careful: Careful, table: LocalTable): Promise<void> {
  const indexes = await loadUniqueIndexes(careful.tx, table);
  await eachRow(careful.tx, table, "op <> 'DELETE'", async (ordinal) => {
    await attempt(
      careful.tx,
      () => careful.tx.run(upsertOneSql(table), [BigInt(ordinal)]),
      () => freeUniqueValues(careful, table, indexes, ordinal),
    );
  });
}

async function deleteTable(careful: Careful, table: LocalTable): Promise<void> {
  await eachRow(careful.tx, table, "op = 'DELETE'", async (_, keyJson) => {
    await attempt(
      careful.tx,
      () => careful.tx.run(deleteOneSql(table), [keyJson]),
      () => freeChildren(careful, table, keyJson),
    );
  });
}

async function eachRow(
  tx: SqliteTx,
  table: LocalTable,
  condition: string,
  work: (ordinal: number, keyJson: string) => Promise<void>,
): Promise<void> {
  const sql = `SELECT ordinal, key_json FROM _oversync_work._oversync_page WHERE table_name = ? AND verdict IN (0, 2) AND ${condition} AND ordinal > ? ORDER BY ordinal LIMIT ?`;
  for (let after = -1; ;) {
    const rows = await tx.all(sql, [table.wireName, BigInt(after), BigInt(STEP_ROWS)]);
    if (rows.length === 0) return;
    for (const row of rows) {
      after = countColumn(row, 0);
      await work(after, textColumn(row, 1));
    }
  }
}

/** Runs one write; after a constraint failure `makeRoom` says whether another try makes sense. */
async function attempt(tx: SqliteTx, write: () => Promise<unknown>, makeRoom: () => Promise<boolean>): Promise<void> {
  for (let count = 0; ; count += 1) {
    await tx.exec('SAVEPOINT oversync_row');
    try {
      await write();
      await tx.exec('RELEASE oversync_row');
      return;
    } catch (error) {
      await tx.exec('ROLLBACK TO oversync_row; RELEASE oversync_row');
      if (!isConstraintFault(error)) throw error;
      if (count >= ATTEMPTS_MAX || !(await makeRoom())) throw new UnexplainedFailure('a constraint failed', { cause: error });
    }
  }
}

async function freeUniqueValues(
  careful: Careful,
  table: LocalTable,
  indexes: readonly (readonly LocalColumn[])[],
  ordinal: number,
): Promise<boolean> {
  let hasFreed = false;
  for (const columns of indexes) {
    for (const row of await careful.tx.all(holdersSql(table, columns), [BigInt(ordinal)])) {
      if (!(await freeHolder(careful, table, columns, textColumn(row, 0), ordinal))) return false;
      hasFreed = true;
    }
  }
  return hasFreed;
}

async function freeHolder(
  careful: Careful,
  table: LocalTable,
  columns: readonly LocalColumn[],
  keyJson: string,
  ordinal: number,
): Promise<boolean> {
  const [later] = await careful.tx.all(IS_WRITTEN_LATER, [table.wireName, keyJson, BigInt(ordinal)]);
  if (later === undefined) {
    const why = { origin: 'pull', code: 'unique_local', detail: columns.map((column) => column.wireName).join() } as const;
    if (await setAsideForServer(careful.tx, careful.schema, table, keyJson, why, careful.log)) return true;
    // A frozen row may be committed already, so it cannot give way; its push decides.
    if (await isFrozen(careful.tx, table, keyJson)) throw new DeferredBundle('pending_push');
    return false;
  }
  await careful.tx.run(parkSql(table, columns), [keyJson]);
  return true;
}

/** A deletion refused by RESTRICT: pending children give way. */
async function freeChildren(careful: Careful, parent: LocalTable, keyJson: string): Promise<boolean> {
  let hasFreed = false;
  for (const [table, reference] of referencesTo(careful.schema, parent)) {
    for (const row of await careful.tx.all(childrenSql(table, reference, parent), [keyJson])) {
      const why = { origin: 'pull', code: 'foreign_key', detail: reference.column.wireName } as const;
      if (!(await setAsideForServer(careful.tx, careful.schema, table, textColumn(row, 0), why, careful.log))) return false;
      hasFreed = true;
    }
  }
  return hasFreed;
}

function referencesTo(schema: LocalSchema, parent: LocalTable): [LocalTable, LocalReference][] {
  return schema.tables.flatMap((table) =>
    table.references
      .filter((reference) => reference.parentTable === parent.wireName)
      .map((reference): [LocalTable, LocalReference] => [table, reference]),
  );
}

/** Deferred foreign keys are judged before the commit does it, so that pending rows can give way. */
async function settleForeignKeys(careful: Careful): Promise<void> {
  for (let hasChanged = true; hasChanged;) {
    hasChanged = false;
    for (const table of careful.schema.tables) {
      for (const reference of table.references) hasChanged = (await settleReference(careful, table, reference)) || hasChanged;
    }
  }
}

async function settleReference(careful: Careful, table: LocalTable, reference: LocalReference): Promise<boolean> {
  const parent = careful.schema.tablesByName.get(reference.parentTable);
  if (parent === undefined) return false;
  const orphans = await careful.tx.all(orphansSql(table, reference, parent));
  for (const row of orphans) {
    const keyJson = textColumn(row, 0);
    const why = { origin: 'pull', code: 'foreign_key', detail: reference.column.wireName } as const;
    if (await setAsideForServer(careful.tx, careful.schema, table, keyJson, why, careful.log)) continue;
    const parentIntent = await loadIntent(careful.tx, careful.schema, parent, textColumn(row, 1));
    if (parentIntent?.op === 'DELETE' || (await isFrozenDelete(careful.tx, parent, textColumn(row, 1)))) {
      throw new DeferredBundle('pending_local_delete');
    }
    throw new UnexplainedFailure('a foreign key has no parent');
  }
  return orphans.length > 0;
}

async function isFrozen(tx: SqliteTx, table: LocalTable, keyJson: string): Promise<boolean> {
  const [row] = await tx.all('SELECT 1 FROM _sync_outbox_rows WHERE table_name = ? AND key_json = ?', [table.wireName, keyJson]);
  return row !== undefined;
}

async function isFrozenDelete(tx: SqliteTx, table: LocalTable, keyJson: string): Promise<boolean> {
  const [row] = await tx.all(`SELECT 1 FROM _sync_outbox_rows WHERE table_name = ? AND key_json = ? AND op = 'DELETE'`, [
    table.wireName,
    keyJson,
  ]);
  return row !== undefined;
}

/** The unique indexes of a table other than its primary key, without those over expressions. */
async function loadUniqueIndexes(tx: SqliteTx, table: LocalTable): Promise<readonly (readonly LocalColumn[])[]> {
  const byIndex = new Map<bigint, (LocalColumn | undefined)[]>();
  for (const row of await tx.all(LOAD_UNIQUE_COLUMNS, [table.name])) {
    const index = bigintColumn(row, 0);
    const name = optionalTextColumn(row, 1);
    byIndex.set(index, [...(byIndex.get(index) ?? []), table.columns.find((column) => column.name === name)]);
  }
  return [...byIndex.values()].flatMap((columns) => {
    const known = columns.filter((column) => column !== undefined);
    return known.length === columns.length ? [known] : [];
  });
}

/** Table, key, ordinal. */
const IS_WRITTEN_LATER = `
SELECT 1 FROM _oversync_work._oversync_page WHERE table_name = ? AND key_json = ? AND verdict IN (0, 2) AND (ordinal > ? OR op = 'DELETE')`;

/** Name of the table. */
const LOAD_UNIQUE_COLUMNS = `
SELECT l.seq, i.name FROM pragma_index_list(?, 'main') l, pragma_index_info(l.name, 'main') i
WHERE l."unique" = 1 AND l.origin <> 'pk' ORDER BY l.seq, i.seqno`;
