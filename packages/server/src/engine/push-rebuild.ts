import { createJsonObject, isJsonObject, JsonNumber, parseJson, SyncError } from '@oversync/protocol';
import type { JsonValue } from '@oversync/protocol';

import { REBUILD_ROWS_MAX } from '../limits.ts';
import type { PgTransaction } from '../ports/postgres.ts';
import { PushRowReader } from '../rules/push-row-reader.ts';
import type { Catalog } from '../rules/table-description.ts';
import { formatRebuiltJson } from '../store/push-row.ts';
import { selectCanonicalRange, updateRebuiltRows } from '../store/push-row.sql.ts';
import type { Actor, SyncContext } from './context.ts';
import type { OpenPush } from './push-access.ts';

/**
 * Makes the row literals of a push again after a table changed between two requests: a literal is bound to the row layout it was
 * made with. The canonical rows are the client's own and stay as they are.
 *
 * @throws SyncError `push_chunk_invalid` when a row no longer fits its table.
 */
export async function rebuildStagedRows(
  ctx: SyncContext,
  tx: PgTransaction,
  actor: Actor,
  open: OpenPush,
  catalog: Catalog,
): Promise<void> {
  for (let first = 0; first < open.session.nextRowOrdinal; first += REBUILD_ROWS_MAX) {
    const [staged] = await tx.script(selectCanonicalRange(ctx.names, open, { first, last: first + REBUILD_ROWS_MAX - 1 }));
    const reader = new PushRowReader({ catalog, scopeId: actor.scopeId, rowBytesMax: ctx.options.maxBytesPerSnapshotRow });
    const rows = (staged?.rows ?? []).map(([text], index) => reader.read(toRequestRow(text ?? ''), first + index));
    await tx.script(updateRebuiltRows(ctx.names, open, formatRebuiltJson(rows)));
  }
}

/** Our own text: it was checked when it was staged. */
const DEPTH_MAX = 1000;

/** The canonical form spells the version as a string; everything else reads like the row that was uploaded. */
function toRequestRow(canonicalText: string): JsonValue {
  const row = parseJson(canonicalText, { depthMax: DEPTH_MAX });
  const version = isJsonObject(row) ? row['base_row_version'] : undefined;
  if (!isJsonObject(row) || typeof version !== 'string')
    throw new SyncError('push_chunk_failed', { message: 'a staged row is damaged' });
  return Object.assign(createJsonObject(), row, { base_row_version: new JsonNumber(version) });
}
