import type { SqliteTx } from '../ports/sqlite-driver.ts';
import type { ConflictContext, RowOp, RowValues } from '../rules/conflict-types.ts';
import type { ServerState } from '../rules/decide-resolution.ts';
import type { LocalSchema, LocalTable } from '../rules/local-schema.ts';
import { livePayloadsSql } from '../rules/replay-sql.ts';
import { rowFromCaptured, rowFromWire } from '../rules/row-values.ts';
import { wireKeyOf } from '../rules/wire-key.ts';
import { bigintColumn, countColumn, optionalTextColumn, textColumn } from './columns.ts';
import { LOAD_RECORDS } from './conflicts.sql.ts';
import type { ResolveInput } from './store-types.ts';

/** What the server has for a key. */
export interface ServerImage {
  readonly table: LocalTable;
  readonly keyJson: string;
  /** 0 for none. */
  readonly rowVersion: bigint;
  readonly state: ServerState;
  /** Checked wire payload of a live row. */
  readonly payload: string | null;
}

/** A pending record and the server image it collides with, as one transaction saw them. */
export interface ConflictRecord {
  readonly server: ServerImage;
  readonly localOp: RowOp;
  readonly baseRowVersion: bigint;
  /** Captured payload of the live row. */
  readonly livePayload: string | null;
  readonly dirtyPayload: string | null;
  /** Only when it belongs to the base version of the record. */
  readonly basePayload: string | null;
}

/** Reads the pending records of keys. Keys without one are left out: they are settled. */
export async function loadConflictRecords(
  tx: SqliteTx,
  schema: LocalSchema,
  images: readonly ServerImage[],
): Promise<ConflictRecord[]> {
  const wanted = JSON.stringify(images.map((image) => [image.table.wireName, image.keyJson]));
  const rows = await tx.all(LOAD_RECORDS, [wanted, schema.name]);
  const live = await loadLive(tx, images);
  return rows.flatMap((row): ConflictRecord[] => {
    const name = identityText(textColumn(row, 0), textColumn(row, 1));
    const server = images.find((image) => identityText(image.table.wireName, image.keyJson) === name);
    if (server === undefined) return [];
    const livePayload = live.get(name) ?? null;
    const isKnownThere = countColumn(row, 6) === 1;
    const baseRowVersion = bigintColumn(row, 2);
    const isCurrentBase = row[5] !== null && bigintColumn(row, 5) === baseRowVersion;
    return [
      {
        server,
        localOp: livePayload === null ? 'DELETE' : isKnownThere ? 'UPDATE' : 'INSERT',
        baseRowVersion,
        livePayload,
        dirtyPayload: optionalTextColumn(row, 3),
        basePayload: isCurrentBase ? optionalTextColumn(row, 4) : null,
      },
    ];
  });
}

async function loadLive(tx: SqliteTx, images: readonly ServerImage[]): Promise<ReadonlyMap<string, string>> {
  const live = new Map<string, string>();
  for (const table of new Set(images.map((image) => image.table))) {
    const keys = JSON.stringify(images.filter((image) => image.table === table).map((image) => image.keyJson));
    for (const row of await tx.all(livePayloadsSql(table), [keys])) {
      live.set(identityText(table.wireName, textColumn(row, 0)), textColumn(row, 1));
    }
  }
  return live;
}

function identityText(table: string, keyJson: string): string {
  return `${table} ${keyJson}`;
}

/** True when nothing that a decision was made from has changed. */
export function isSameRecord(a: ConflictRecord, b: ConflictRecord): boolean {
  return (
    a.livePayload === b.livePayload &&
    a.dirtyPayload === b.dirtyPayload &&
    a.baseRowVersion === b.baseRowVersion &&
    a.basePayload === b.basePayload &&
    a.server.rowVersion === b.server.rowVersion &&
    a.server.state === b.server.state
  );
}

/** What a resolver gets to see. */
export function conflictContext(
  schema: LocalSchema,
  record: ConflictRecord,
  input: ResolveInput,
  attempt: number,
): ConflictContext {
  const { server } = record;
  const { table } = server;
  return {
    schema: schema.name,
    table: table.wireName,
    key: wireKeyOf(table, server.keyJson),
    localOp: record.localOp,
    local: rowOrNull(table, record.livePayload),
    base: rowOrNull(table, record.basePayload),
    server: server.payload === null ? null : rowFromWire(table, server.payload),
    baseRowVersion: record.baseRowVersion,
    serverRowVersion: server.rowVersion,
    serverRowDeleted: server.state === 'tombstone',
    origin: input.origin,
    attempt,
  };
}

function rowOrNull(table: LocalTable, payload: string | null): RowValues | null {
  return payload === null ? null : rowFromCaptured(table, payload);
}
