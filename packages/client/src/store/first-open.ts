import { SyncError } from '@oversync/protocol';

import type { Random } from '../ports/clock.ts';
import type { SqliteTx } from '../ports/sqlite-driver.ts';
import { keyJsonSql, payloadSql } from '../rules/capture-sql.ts';
import type { LocalSchema, LocalTable } from '../rules/local-schema.ts';
import { quoteIdentifier } from '../rules/sql-text.ts';
import { insertSource, loadSource } from './client-state.ts';
import { countColumn, onlyRow, textColumn } from './columns.ts';

/** Attempts to find an id that was never used here; a second one is needed only by a random source that repeats itself. */
const SOURCE_ID_ATTEMPTS_MAX = 16;

/** Gives the database its source id. At the very first time also captures the rows that exist already. */
export async function ensureSource(tx: SqliteTx, schema: LocalSchema, random: Random): Promise<void> {
  const sourceId = textColumn(
    onlyRow(await tx.all('SELECT current_source_id FROM _sync_attachment_state WHERE singleton_key = 1')),
    0,
  );
  if (sourceId !== '') {
    if ((await loadSource(tx, sourceId)) === null) await insertSource(tx, sourceId);
    return;
  }
  await checkNothingCaptured(tx);
  const fresh = await newSourceId(tx, random);
  await insertSource(tx, fresh);
  await tx.run('UPDATE _sync_attachment_state SET current_source_id = ? WHERE singleton_key = 1', [fresh]);
  await captureExistingRows(tx, schema);
}

/** A source id that this database has never used. */
export async function newSourceId(tx: SqliteTx, random: Random): Promise<string> {
  for (let attempt = 0; attempt < SOURCE_ID_ATTEMPTS_MAX; attempt += 1) {
    const candidate = random.uuid();
    if ((await loadSource(tx, candidate)) === null) return candidate;
  }
  throw new Error('the random source keeps repeating ids');
}

async function checkNothingCaptured(tx: SqliteTx): Promise<void> {
  const row = onlyRow(await tx.all(COUNT_CAPTURED));
  const [rowState, dirty, outbox] = [countColumn(row, 0), countColumn(row, 1), countColumn(row, 2)];
  if (rowState + dirty + outbox === 0) return;
  throw new SyncError('local_state_conflict', { operation: 'open', details: { rowState, dirty, outbox } });
}

/** Every existing row becomes an unsent INSERT, parents first, one statement per table (client.md 5.2). */
export async function captureExistingRows(tx: SqliteTx, schema: LocalSchema): Promise<void> {
  for (const table of schema.tables) await tx.run(captureTableSql(table), [schema.name, table.wireName]);
}

/** The ordinals are numbered by a window: the MAX of the triggers would be evaluated only once for the whole statement. */
function captureTableSql(table: LocalTable): string {
  const key = `x.${quoteIdentifier(table.key.name)}`;
  return (
    `INSERT INTO _sync_dirty_rows(schema_name, table_name, key_json, op, base_row_version, payload, dirty_ordinal) ` +
    `SELECT ?, ?, ${keyJsonSql(table, 'x')}, 'INSERT', 0, ${payloadSql(table, 'x')}, ` +
    `COALESCE((SELECT MAX(dirty_ordinal) FROM _sync_dirty_rows), 0) + row_number() OVER (ORDER BY ${key}) ` +
    `FROM main.${quoteIdentifier(table.name)} x ORDER BY ${key}`
  );
}

/** Leaves only combinations of the attachment row that the state machine knows (client.md 5.2). */
export async function normaliseAttachment(tx: SqliteTx): Promise<void> {
  await tx.run(NORMALISE_BINDING);
  await tx.run(NORMALISE_LEASE);
}

const COUNT_CAPTURED = `
SELECT (SELECT count(*) FROM _sync_row_state), (SELECT count(*) FROM _sync_dirty_rows), (SELECT count(*) FROM _sync_outbox_rows)`;

const NORMALISE_BINDING = `
UPDATE _sync_attachment_state SET binding_state = 'anonymous', attached_user_id = '', schema_name = '', last_bundle_seq_seen = 0,
  rebuild_required = 0, pending_initialization_id = ''
WHERE singleton_key = 1 AND (binding_state <> 'attached' OR trim(attached_user_id) = ''
  OR EXISTS (SELECT 1 FROM _sync_operation_state WHERE kind = 'remote_replace'))`;

const NORMALISE_LEASE = `
UPDATE _sync_attachment_state SET pending_initialization_id = ''
WHERE singleton_key = 1 AND pending_initialization_id <> '' AND EXISTS (SELECT 1 FROM _sync_operation_state WHERE kind <> 'none')`;
