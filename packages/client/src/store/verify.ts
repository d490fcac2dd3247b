import type { Sha256Factory } from '@oversync/protocol';

import type { SqliteDriver, SqliteTx, SqlValue } from '../ports/sqlite-driver.ts';
import { capturedValue } from '../rules/captured-values.ts';
import { capturedKeyValue } from '../rules/encode-row.ts';
import type { LocalSchema, LocalTable } from '../rules/local-schema.ts';
import { keyJsonOf } from '../rules/check-incoming.ts';
import { VerifyRowWriter } from '../rules/verify-row.ts';
import { orphanStateSql, rangeRowsSql } from '../rules/verify-sql.ts';
import { countColumn, onlyRow, textColumn } from './columns.ts';

/** Keys after `after` up to and including `through`, in wire form; a missing end is open. */
export interface KeyRange {
  readonly after?: string;
  readonly through?: string;
}

/** What this device has in a range, unsent rows left out. */
export interface LocalRange {
  readonly rowCount: number;
  readonly hash: string;
}

/** True when keys sort here as they do on the server: by the bytes of their UTF-8 text. */
export async function sortsAsServer(tx: SqliteTx): Promise<boolean> {
  return textColumn(onlyRow(await tx.all('PRAGMA encoding')), 0) === 'UTF-8';
}

/** `key_json` of the rows of a table that hold unsent changes, at most `limit` of them. */
export async function loadUnsentKeys(tx: SqliteTx, schema: LocalSchema, table: LocalTable, limit: number): Promise<Set<string>> {
  const names = [schema.name, table.wireName];
  const rows = await tx.all(LOAD_UNSENT_KEYS, [...names, table.wireName, ...names, BigInt(limit)]);
  return new Set(rows.map((row) => textColumn(row, 0)));
}

/** The values to bind for the ends of a range that are given. */
export function rangeValues(table: LocalTable, range: KeyRange): SqlValue[] {
  return [range.after, range.through].flatMap((key) => (key === undefined ? [] : [keyValue(table, keyJsonOf(table, key))]));
}

function keyValue(table: LocalTable, keyJson: string): SqlValue {
  return capturedValue(table.key, capturedKeyValue(keyJson, table.key));
}

/** Hashes the rows of a range page by page, as the server does. */
export class RangeHasher {
  readonly #schema: LocalSchema;
  readonly #table: LocalTable;
  readonly #writer: VerifyRowWriter;
  readonly #sha256: Sha256Factory;
  readonly #pageRows: number;

  constructor(schema: LocalSchema, table: LocalTable, sha256: Sha256Factory, pageRows: number) {
    this.#schema = schema;
    this.#table = table;
    this.#writer = new VerifyRowWriter(table);
    this.#sha256 = sha256;
    this.#pageRows = pageRows;
  }

  /** One consistent view of the range; the application writes on between two ranges. */
  hash(driver: SqliteDriver, range: KeyRange, unsentMax: number): Promise<LocalRange & { readonly unsent: ReadonlySet<string> }> {
    return driver.transaction('deferred', async (tx) => {
      const unsent = await loadUnsentKeys(tx, this.#schema, this.#table, unsentMax);
      return { ...(await this.#hash(tx, range, unsent)), unsent };
    });
  }

  async #hash(tx: SqliteTx, range: KeyRange, unsent: ReadonlySet<string>): Promise<LocalRange> {
    const outer = this.#sha256();
    let after = range.after === undefined ? [] : rangeValues(this.#table, { after: range.after });
    const end = range.through === undefined ? [] : rangeValues(this.#table, { through: range.through });
    let rowCount = 0;
    for (;;) {
      const sql = rangeRowsSql(this.#table, { hasAfter: after.length > 0, hasThrough: end.length > 0 });
      const rows = await tx.all(sql, [this.#schema.name, this.#table.wireName, ...after, ...end, BigInt(this.#pageRows)]);
      for (const row of rows) {
        if (unsent.has(textColumn(row, 0))) continue;
        rowCount += 1;
        const hash = this.#sha256();
        hash.update(this.#writer.write(textColumn(row, 2), textColumn(row, 1)));
        outer.update(hash.digestHex());
      }
      const last = rows.at(-1);
      if (last === undefined || rows.length < this.#pageRows) return { rowCount, hash: outer.digestHex() };
      after = [keyValue(this.#table, textColumn(last, 0))];
    }
  }
}

/** Live row states without a row, which no hash of rows can show. */
export async function countOrphanStates(tx: SqliteTx, schema: LocalSchema, table: LocalTable): Promise<number> {
  const sql = `SELECT count(*) FROM _sync_row_state s WHERE ${orphanStateSql(table)}`;
  return countColumn(onlyRow(await tx.all(sql, [schema.name, table.wireName])), 0);
}

/** Schema, table; table; schema, table; rows. */
const LOAD_UNSENT_KEYS = `
SELECT key_json FROM _sync_dirty_rows WHERE schema_name = ? AND table_name = ?
UNION SELECT key_json FROM _sync_outbox_rows WHERE table_name = ?
UNION SELECT key_json FROM _oversync_quarantine WHERE schema_name = ? AND table_name = ? AND shows = 'local' LIMIT ?`;
