import type { SqliteTx } from '../ports/sqlite-driver.ts';
import type { CheckedRow } from '../rules/incoming-row.ts';
import type { LocalSchema } from '../rules/local-schema.ts';
import { bigintColumn, countColumn, optionalTextColumn, textColumn } from './columns.ts';
import { DROP_NO_OPS, IMAGES_OF_NO_OPS, RELEASE_NO_OPS } from './freeze.sql.ts';
import { emptyPage, loadPage, loadPending, writePage } from './page.ts';
import { beginApply, setApplyMode } from './transaction.ts';

/**
 * Forgets records of rows that were made and deleted before the server saw them (client.md 6.2 step 1). Where a server image waits for
 * such a key it is applied. Returns the tables that were written.
 */
export async function dropNoOpRecords(tx: SqliteTx, schema: LocalSchema): Promise<readonly string[]> {
  const images = (await tx.all(IMAGES_OF_NO_OPS, [schema.name])).map((row): CheckedRow => ({
    schema: schema.name,
    table: textColumn(row, 0),
    keyJson: textColumn(row, 1),
    op: countColumn(row, 2) === 1 ? 'DELETE' : 'INSERT',
    rowVersion: bigintColumn(row, 3),
    payload: optionalTextColumn(row, 4),
  }));
  await tx.run(RELEASE_NO_OPS, [schema.name]);
  await tx.run(DROP_NO_OPS, [schema.name]);
  if (images.length === 0) return [];
  await beginApply(tx);
  await emptyPage(tx);
  await loadPage(tx, schema, images);
  const written = await writePage(tx, schema, await loadPending(tx));
  await setApplyMode(tx, 0);
  return written.map(({ table }) => table.wireName);
}
