import type { SqliteTx } from '../ports/sqlite-driver.ts';
import type { LocalSchema } from '../rules/local-schema.ts';
import type { CheckpointReason } from './client-state.ts';
import { loadIntent, moveToQuarantine, QuarantineLog, setAsideForServer } from './set-aside.ts';
import type { QuarantineOrigin, QuarantineRef } from './store-types.ts';
import { beginApply, setApplyMode } from './transaction.ts';

/**
 * Moves one dirty row, as after a `violation` of the server (the outbox is unfrozen before). The table keeps showing the local value,
 * except for a deletion: there the server's row is put back, so that the foreign keys of pulled rows hold; where it is not known a
 * rebuild with reason `restore_row` is requested. `null` when the key is not dirty any more.
 */
export async function quarantineDirtyRow(
  tx: SqliteTx,
  schema: LocalSchema,
  row: {
    readonly table: string;
    readonly keyJson: string;
    readonly origin: QuarantineOrigin;
    readonly code: string;
    readonly detail: string | null;
  },
): Promise<QuarantineRef | null> {
  const table = schema.tablesByName.get(row.table);
  if (table === undefined) return null;
  const log = new QuarantineLog(1);
  const intent = await loadIntent(tx, schema, table, row.keyJson);
  if (intent === null) return null;
  if (intent.op !== 'DELETE') await moveToQuarantine(tx, schema, table, row.keyJson, row, 'local', log);
  else {
    await beginApply(tx);
    if (!(await setAsideForServer(tx, schema, table, row.keyJson, row, log))) {
      await moveToQuarantine(tx, schema, table, row.keyJson, row, 'local', log);
      await requestRebuild(tx, 'restore_row');
    }
    await setApplyMode(tx, 0);
  }
  return log.entries[0] ?? null;
}

/** Asks for a keep-source rebuild, unless something is under way already. */
export async function requestRebuild(tx: SqliteTx, reason: CheckpointReason): Promise<void> {
  const { changes } = await tx.run(REQUEST_REBUILD);
  if (changes > 0) await tx.run('UPDATE _sync_operation_state SET reason = ? WHERE singleton_key = 1', [reason]);
}

const REQUEST_REBUILD = `
UPDATE _sync_attachment_state SET rebuild_required = 1 WHERE singleton_key = 1 AND binding_state = 'attached' AND rebuild_required = 0
  AND EXISTS (SELECT 1 FROM _sync_operation_state WHERE kind = 'none')`;
