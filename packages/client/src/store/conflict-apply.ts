import { isConstraintFault } from '../ports/sqlite-fault.ts';
import type { SqliteTx, SqlValue } from '../ports/sqlite-driver.ts';
import { capturedFromWire } from '../rules/captured-from-wire.ts';
import type { Resolution } from '../rules/conflict-types.ts';
import type { ConflictAction } from '../rules/decide-resolution.ts';
import type { LocalSchema } from '../rules/local-schema.ts';
import { livePayloadSql } from '../rules/replay-sql.ts';
import { deleteOneSql } from '../rules/row-sql.ts';
import { wireValues } from '../rules/wire-values.ts';
import { quarantineCascaded } from './cascades.ts';
import { onlyRow, textColumn } from './columns.ts';
import type { ConflictRecord, ServerImage } from './conflict-records.ts';
import { DROP_BASE, DROP_DIRTY, DROP_ROW_STATE, REQUEUE, SAVE_BASE } from './conflicts.sql.ts';
import { moveToQuarantine, saveRowState, writeValues } from './set-aside.ts';
import type { QuarantineLog } from './set-aside.ts';

/** What was decided about one conflict. */
export interface Decision {
  readonly record: ConflictRecord;
  readonly resolution: Resolution;
  readonly action: ConflictAction;
  /** Values of a merged row in table order. */
  readonly merged: readonly SqlValue[] | null;
  /** Why it is quarantined; `conflict_deferred` when left out. */
  readonly code?: string;
}

/** Carries out one decision. Capture must be silent. A row that a constraint keeps from being written goes to quarantine. */
export async function applyDecision(tx: SqliteTx, schema: LocalSchema, decision: Decision, log: QuarantineLog): Promise<void> {
  await tx.exec('SAVEPOINT oversync_conflict');
  try {
    await carryOut(tx, schema, decision, log);
    await tx.exec('RELEASE oversync_conflict');
  } catch (error) {
    await tx.exec('ROLLBACK TO oversync_conflict; RELEASE oversync_conflict');
    if (!isConstraintFault(error)) throw error;
    const { table, keyJson } = decision.record.server;
    const code = error.kind === 'unique' ? 'unique_local' : error.kind;
    await moveToQuarantine(tx, schema, table, keyJson, { origin: 'resolver', code }, 'local', log);
  }
}

async function carryOut(tx: SqliteTx, schema: LocalSchema, decision: Decision, log: QuarantineLog): Promise<void> {
  const { action, record } = decision;
  const { server } = record;
  const identity = [schema.name, server.table.wireName, server.keyJson];
  switch (action.kind) {
    case 'invalid':
      return;
    case 'quarantine': {
      const why = { origin: 'resolver', code: decision.code ?? 'conflict_deferred' } as const;
      await moveToQuarantine(tx, schema, server.table, server.keyJson, why, 'local', log);
      await keepImage(tx, schema, server);
      return;
    }
    case 'take_server':
      await writeServerRow(tx, schema, server, log);
      break;
    case 'record_server':
      break;
    case 'keep_local':
      await tx.run(REQUEUE, [action.queue, server.rowVersion, record.livePayload, ...identity]);
      break;
    case 'write_merged':
      await writeValues(tx, server.table, decision.merged ?? []);
      await tx.run(REQUEUE, [action.queue, server.rowVersion, await livePayload(tx, server), ...identity]);
      break;
  }
  if (action.kind === 'take_server' || action.kind === 'record_server') await tx.run(DROP_DIRTY, identity);
  await recordServer(tx, schema, server);
  await tx.run(DROP_BASE, identity);
  if (action.kind === 'keep_local' || action.kind === 'write_merged') await saveBase(tx, schema, server);
}

async function livePayload(tx: SqliteTx, server: ServerImage): Promise<string> {
  return textColumn(onlyRow(await tx.all(livePayloadSql(server.table), [server.keyJson])), 0);
}

/** The table shows the server's row; rows that its deletion takes along are looked after. */
async function writeServerRow(tx: SqliteTx, schema: LocalSchema, server: ServerImage, log: QuarantineLog): Promise<void> {
  if (server.payload !== null) {
    await writeValues(tx, server.table, wireValues(server.table, server.payload));
    return;
  }
  await tx.run(DROP_DIRTY, [schema.name, server.table.wireName, server.keyJson]);
  await tx.run(deleteOneSql(server.table), [server.keyJson]);
  const deleted = { table: server.table, hasUpserts: false, hasDeletes: true, hasPending: false, hasRequeued: false };
  await quarantineCascaded(tx, schema, [deleted], 'resolver', log);
}

async function recordServer(tx: SqliteTx, schema: LocalSchema, server: ServerImage): Promise<void> {
  const { table, keyJson, rowVersion, state } = server;
  if (state === 'none') await tx.run(DROP_ROW_STATE, [schema.name, table.wireName, keyJson]);
  else await saveRowState(tx, schema, table, keyJson, rowVersion, state === 'tombstone');
}

/** The kept row is now an edit of the server's row. */
async function saveBase(tx: SqliteTx, schema: LocalSchema, server: ServerImage): Promise<void> {
  const { table, keyJson, payload, rowVersion } = server;
  if (!table.capturesBase || payload === null) return;
  await tx.run(SAVE_BASE, [schema.name, table.wireName, keyJson, rowVersion, capturedFromWire(table, payload)]);
}

/** For the user's decision later: what the server had. */
async function keepImage(tx: SqliteTx, schema: LocalSchema, server: ServerImage): Promise<void> {
  if (server.state === 'none') return;
  const identity = [schema.name, server.table.wireName, server.keyJson];
  const isDeleted = server.state === 'tombstone' ? 1n : 0n;
  await tx.run(KEEP_IMAGE, [...identity, server.rowVersion, isDeleted, server.payload]);
}

/** Identity, version, deleted, payload. */
const KEEP_IMAGE = `
INSERT INTO _oversync_row_bases(schema_name, table_name, key_json, server_row_version, server_deleted, server_payload)
VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (schema_name, table_name, key_json) DO UPDATE SET server_row_version = excluded.server_row_version,
  server_deleted = excluded.server_deleted, server_payload = excluded.server_payload
WHERE excluded.server_row_version >= server_row_version`;
