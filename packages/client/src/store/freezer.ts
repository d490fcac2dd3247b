import { RowHasher, SyncError, requestRowText } from '@oversync/protocol';

import type { SqliteTx, SqlValue } from '../ports/sqlite-driver.ts';
import type { RowOp } from '../rules/conflict-types.ts';
import { RowEncoder } from '../rules/encode-row.ts';
import { EncodeFault } from '../rules/encode-value.ts';
import type { LocalSchema, LocalTable } from '../rules/local-schema.ts';
import { isLongerThan } from '../rules/utf8-length.ts';
import { wireKeyOf } from '../rules/wire-key.ts';
import { bigintColumn, countColumn, onlyRow, optionalTextColumn, textColumn } from './columns.ts';
import {
  CAPTURED_BYTES,
  DROP_FROZEN,
  FREEZE_PAGE,
  FREEZE_PAGE_END,
  FREEZE_PAGE_SIZE,
  GROUP_SIZE,
  INSERT_OUTBOX_ROWS,
  PLAN_START,
  QUARANTINE_UNENCODABLE,
  SHORTEN_PLAN,
} from './freeze.sql.ts';
import { insertRows } from './insert-rows.ts';
import type { FreezeInput, QuarantineRef } from './store-types.ts';

/** What a row adds to its captured size on the wire: names of the envelope, ordinals, versions. Only for deciding before encoding. */
const ROW_OVERHEAD_BYTES = 200;

interface DirtyRow {
  readonly table: LocalTable;
  readonly keyJson: string;
  readonly baseRowVersion: bigint;
  readonly payload: string | null;
  readonly op: RowOp;
  readonly position: number;
}

/** Moves the planned rows into the outbox, page by page. */
export class Freezer {
  rowCount = 0;
  readonly quarantined: QuarantineRef[] = [];
  readonly #tx: SqliteTx;
  readonly #schema: LocalSchema;
  readonly #input: FreezeInput;
  readonly #sourceBundleId: bigint;
  readonly #hasher: RowHasher;
  readonly #encoders = new Map<LocalTable, RowEncoder>();
  #byteCount = 0;
  #openGroup: number | null = null;
  #consumed = 0;
  #isFull = false;

  constructor(tx: SqliteTx, schema: LocalSchema, input: FreezeInput, sourceBundleId: bigint) {
    this.#tx = tx;
    this.#schema = schema;
    this.#input = input;
    this.#sourceBundleId = sourceBundleId;
    this.#hasher = new RowHasher(input.sha256);
  }

  digestHex(): string {
    return this.#hasher.digestHex();
  }

  /** Takes rows from the plan until it or the bundle is full, and returns how many. */
  async run(): Promise<number> {
    this.#openGroup = null;
    const taken = this.rowCount + this.quarantined.length;
    this.#consumed = countColumn(onlyRow(await this.#tx.all(PLAN_START)), 0);
    for (let last = await this.#pageEnd(); last !== null && !this.#isFull; last = await this.#pageEnd()) {
      const rows = await this.#tx.all(FREEZE_PAGE, [BigInt(this.#consumed + 1), BigInt(last)]);
      await this.#freezePage(rows.flatMap((row) => this.#dirtyRow(row)));
      if (!this.#isFull) this.#consumed = last;
    }
    await this.#dropTaken(this.rowCount + this.quarantined.length - taken);
    return this.rowCount + this.quarantined.length - taken;
  }

  async #dropTaken(takenCount: number): Promise<void> {
    const dirtyCount = countColumn(onlyRow(await this.#tx.all('SELECT count(*) FROM _sync_dirty_rows')), 0);
    // Without a condition SQLite drops whole pages.
    if (dirtyCount === takenCount) await this.#tx.run('DELETE FROM _sync_dirty_rows');
    else if (takenCount > 0) await this.#tx.run(DROP_FROZEN, [BigInt(this.#consumed)]);
    await this.#tx.run(SHORTEN_PLAN, [BigInt(this.#consumed)]);
  }

  /** Last position of the next page; `null` at the end of the plan. One row always fits. */
  async #pageEnd(): Promise<number | null> {
    const { rowsMax, bytesMax } = this.#input.page;
    const [size, last] = onlyRow(await this.#tx.all(FREEZE_PAGE_SIZE, [BigInt(this.#consumed), BigInt(rowsMax)]));
    if (last === null || last === undefined) return null;
    if (Number(size) <= bytesMax) return Number(last);
    const [end, next] = onlyRow(await this.#tx.all(FREEZE_PAGE_END, [BigInt(bytesMax), BigInt(this.#consumed), BigInt(rowsMax)]));
    return end === null || end === undefined ? Number(next) : Number(end);
  }

  #dirtyRow(row: readonly SqlValue[]): DirtyRow[] {
    const table = this.#schema.tablesByName.get(textColumn(row, 0));
    if (table === undefined) return [];
    const payload = optionalTextColumn(row, 3);
    const isLive = countColumn(row, 4) === 1;
    const op = payload === null ? 'DELETE' : isLive ? 'UPDATE' : 'INSERT';
    const baseRowVersion = bigintColumn(row, 2);
    return [{ table, keyJson: textColumn(row, 1), baseRowVersion, payload, op, position: countColumn(row, 5) }];
  }

  async #freezePage(rows: readonly DirtyRow[]): Promise<void> {
    const outboxRows: SqlValue[][] = [];
    const refused: [DirtyRow, EncodeFault][] = [];
    for (const row of rows) {
      const ends = this.#endsBefore(row);
      // Awaiting every row would cost more than encoding it.
      if (typeof ends === 'boolean' ? ends : await ends) {
        this.#isFull = true;
        break;
      }
      const isRefused = hasReplacement(row) && !(await this.#isUnicode(row));
      const fault = isRefused ? new EncodeFault('invalid_unicode', row.table.key.wireName) : this.#freezeRow(row, outboxRows);
      if (fault !== null) refused.push([row, fault]);
      this.#consumed = row.position;
    }
    await insertRows(this.#tx, INSERT_OUTBOX_ROWS.into, INSERT_OUTBOX_ROWS.width, outboxRows);
    if (refused.length > 0) await this.#quarantine(refused);
  }

  #freezeRow(row: DirtyRow, outboxRows: SqlValue[][]): EncodeFault | null {
    try {
      outboxRows.push(this.#encode(row));
      return null;
    } catch (error) {
      if (error instanceof EncodeFault) return error;
      throw error;
    }
  }

  #encode(row: DirtyRow): SqlValue[] {
    const { table, op, keyJson, baseRowVersion } = row;
    const encoder = this.#encoders.get(table) ?? new RowEncoder(table);
    this.#encoders.set(table, encoder);
    const wireKey = encoder.encodeKey(keyJson);
    const payload = row.payload === null ? null : encoder.encodePayload(row.payload);
    const hashRow = {
      schema: this.#schema.name,
      table: table.wireName,
      key: wireKey,
      op,
      base_row_version: baseRowVersion,
      payload: payload?.hashed ?? null,
    };
    const text = requestRowText(hashRow, this.rowCount);
    if (isLongerThan(text, this.#input.rowBytesMax)) throw new EncodeFault('row_too_large', table.key.wireName);
    const byteCount = this.#hasher.addRow(text);
    this.#checkBundle(byteCount, table);
    const ordinal = BigInt(this.rowCount);
    this.rowCount += 1;
    this.#byteCount += byteCount + 1;
    const identity = [this.#schema.name, table.wireName, keyJson, wireKey];
    return [this.#sourceBundleId, ordinal, ...identity, op, baseRowVersion, row.payload, payload?.wire ?? null];
  }

  /** Inside an indivisible group nothing can be cut, so a group that proves too large fails as a whole. */
  #checkBundle(byteCount: number, table: LocalTable): void {
    const { bundleBytesMax } = this.#input;
    if (bundleBytesMax === null || this.#byteCount + byteCount + 2 <= bundleBytesMax) return;
    throw new SyncError('bundle_too_large', { details: { table: table.wireName, limit: bundleBytesMax } });
  }

  /** True when the bundle has to end before this row. */
  #endsBefore(row: DirtyRow): boolean | Promise<boolean> {
    const isGrouped = row.table.isGroupIndivisible && row.op !== 'DELETE' && this.#input.cutsGroups !== true;
    if (isGrouped && this.#openGroup === row.table.group) return false;
    this.#openGroup = isGrouped ? row.table.group : null;
    const { rowsMax, bytesMax } = this.#input;
    if (this.rowCount >= rowsMax || (this.rowCount > 0 && this.#byteCount >= bytesMax)) return true;
    if (isGrouped) return this.#groupIsTooLarge(row.table);
    const { bundleBytesMax, bundleRowsMax } = this.#input;
    if (bundleRowsMax !== null && this.rowCount >= bundleRowsMax) return true;
    const estimate = 2 * (row.payload?.length ?? 0) + ROW_OVERHEAD_BYTES;
    return this.rowCount > 0 && bundleBytesMax !== null && this.#byteCount + estimate > bundleBytesMax;
  }

  async #groupIsTooLarge(table: LocalTable): Promise<boolean> {
    const { bundleBytesMax, bundleRowsMax } = this.#input;
    const names = this.#schema.tables.filter((other) => other.group === table.group).map((other) => other.wireName);
    const size = onlyRow(await this.#tx.all(GROUP_SIZE, [JSON.stringify(names)]));
    const rows = countColumn(size, 0);
    const bytes = countColumn(size, 1) + rows * ROW_OVERHEAD_BYTES;
    const isTooLarge =
      (bundleRowsMax !== null && this.rowCount + rows > bundleRowsMax) ||
      (bundleBytesMax !== null && this.#byteCount + bytes > bundleBytesMax);
    if (!isTooLarge || this.rowCount > 0) return isTooLarge;
    if (bundleRowsMax !== null && rows > bundleRowsMax) {
      throw new SyncError('bundle_too_large', { details: { table: table.wireName, limit: bundleRowsMax } });
    }
    return false;
  }

  /** U+FFFD stands for itself or for bytes that are no UTF-8; only the bytes tell. */
  async #isUnicode(row: DirtyRow): Promise<boolean> {
    const [payload, key] = onlyRow(await this.#tx.all(CAPTURED_BYTES, [BigInt(row.position)]));
    return isUtf8(payload) && isUtf8(key);
  }

  async #quarantine(refused: readonly [DirtyRow, EncodeFault][]): Promise<void> {
    if (this.quarantined.length + refused.length > this.#input.quarantineMax) {
      throw new SyncError('quarantine_limit_reached', { details: { count: this.quarantined.length + refused.length } });
    }
    const entries = refused.map(([row, fault]) => [row.position, fault.code, fault.column, row.op]);
    await this.#tx.run(QUARANTINE_UNENCODABLE, [JSON.stringify(entries)]);
    for (const [row, fault] of refused) {
      const key = wireKeyOf(row.table, row.keyJson);
      this.quarantined.push({ table: row.table.wireName, key, op: row.op, origin: 'freeze', code: fault.code });
    }
  }
}

function isUtf8(value: SqlValue | undefined): boolean {
  if (!(value instanceof Uint8Array)) return true;
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(value);
    return true;
  } catch {
    return false;
  }
}

function hasReplacement(row: DirtyRow): boolean {
  return row.payload?.includes('\ufffd') === true || row.keyJson.includes('\ufffd');
}
