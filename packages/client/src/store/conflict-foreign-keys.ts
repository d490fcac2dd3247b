import type { SqliteTx } from '../ports/sqlite-driver.ts';
import type { LocalSchema } from '../rules/local-schema.ts';
import { deleteOneSql, orphansSql } from '../rules/row-sql.ts';
import { wireKeyOf } from '../rules/wire-key.ts';
import { textColumn } from './columns.ts';
import type { Decision } from './conflict-apply.ts';
import { writeCaptured } from './set-aside.ts';
import type { QuarantineLog } from './set-aside.ts';

/**
 * A server row that was written may refer to a row that is deleted here and not pushed yet. Such a row cannot be shown now: a local
 * deletion stays queued, based on the server's version; any other local change is shown again and goes to quarantine. Judged after all
 * decisions of a transaction, because a later one may have brought the parent back.
 */
export async function withdrawOrphans(
  tx: SqliteTx,
  schema: LocalSchema,
  decisions: readonly Decision[],
  log: QuarantineLog,
): Promise<void> {
  const open = new Map(decisions.filter(wroteRow).map((decision) => [nameOf(decision), decision]));
  for (let hasChanged = open.size > 0; hasChanged;) {
    hasChanged = false;
    for (const table of schema.tables) {
      for (const reference of table.references) {
        const parent = schema.tablesByName.get(reference.parentTable);
        if (parent === undefined) continue;
        for (const row of await tx.all(orphansSql(table, reference, parent))) {
          const name = `${table.wireName} ${textColumn(row, 0)}`;
          const decision = open.get(name);
          if (decision === undefined) continue;
          open.delete(name);
          await withdraw(tx, schema, decision, log);
          hasChanged = true;
        }
      }
    }
  }
}

function wroteRow({ action, record }: Decision): boolean {
  return action.kind === 'write_merged' || (action.kind === 'take_server' && record.server.payload !== null);
}

function nameOf({ record }: Decision): string {
  return `${record.server.table.wireName} ${record.server.keyJson}`;
}

async function withdraw(tx: SqliteTx, schema: LocalSchema, { record }: Decision, log: QuarantineLog): Promise<void> {
  const { table, keyJson, rowVersion } = record.server;
  const identity = [schema.name, table.wireName, keyJson];
  if (record.livePayload === null) {
    await tx.run(deleteOneSql(table), [keyJson]);
    await tx.run(QUEUE_DELETE, [...identity, rowVersion]);
    return;
  }
  await writeCaptured(tx, table, record.livePayload);
  await tx.run('DELETE FROM _sync_dirty_rows WHERE schema_name = ? AND table_name = ? AND key_json = ?', identity);
  await tx.run(QUARANTINE_WITHDRAWN, [...identity, record.localOp, rowVersion, record.livePayload]);
  const key = wireKeyOf(table, keyJson);
  log.add({ table: table.wireName, key, op: record.localOp, origin: 'resolver', code: 'foreign_key' });
}

/** Identity, base. */
const QUEUE_DELETE = `
INSERT INTO _sync_dirty_rows(schema_name, table_name, key_json, op, base_row_version, payload, dirty_ordinal)
VALUES (?, ?, ?, 'DELETE', ?, NULL, (SELECT COALESCE(MAX(dirty_ordinal), 0) + 1 FROM _sync_dirty_rows))
ON CONFLICT (schema_name, table_name, key_json) DO UPDATE SET op = 'DELETE', payload = NULL, base_row_version = excluded.base_row_version`;

/** Identity, op, base, payload. */
const QUARANTINE_WITHDRAWN = `
INSERT INTO _oversync_quarantine(schema_name, table_name, key_json, op, base_row_version, payload, origin, code, shows, attempts)
VALUES (?, ?, ?, ?, ?, ?, 'resolver', 'foreign_key', 'local', 1)
ON CONFLICT (schema_name, table_name, key_json) DO UPDATE SET op = excluded.op, base_row_version = excluded.base_row_version,
  payload = excluded.payload, origin = excluded.origin, code = excluded.code, shows = excluded.shows, attempts = attempts + 1`;
