import { isConstraintFault } from '../ports/sqlite-fault.ts';
import type { SqliteFault } from '../ports/sqlite-fault.ts';
import type { SqliteTx, SqlValue } from '../ports/sqlite-driver.ts';
import { parseCaptured } from '../rules/encode-row.ts';
import type { LocalSchema, LocalTable } from '../rules/local-schema.ts';
import { capturedPrefixes, sliceCaptured } from '../rules/member-scan.ts';
import { livePayloadsSql } from '../rules/replay-sql.ts';
import { deleteOneSql, orphansSql } from '../rules/row-sql.ts';
import { isSameRow, rowFromCaptured } from '../rules/row-values.ts';
import { wireKeyOf } from '../rules/wire-key.ts';
import { wireValues } from '../rules/wire-values.ts';
import { countColumn, onlyRow, optionalTextColumn, textColumn } from './columns.ts';
import {
  CONTESTED_FROM_SNAPSHOT,
  COUNT_INTENTS,
  DROP_FOREIGN_BASES,
  DROP_INTENTS,
  DROP_QUARANTINED_DIRTY,
  INTENTS_FROM_QUARANTINE,
  INTENT_PAGE,
  MOVE_CASCADE_ORDINALS,
  QUARANTINE_INTENT,
  RELEASE_SETTLED,
  RESTORE_SAVED,
  SHOW_REFUSED_DELETES,
  SNAPSHOT_PAYLOAD,
  UNSET_OTHER_BASES,
  fillIntentsSql,
} from './intents.sql.ts';
import { rowOp } from './outbox.ts';
import { writeCaptured, writeValues } from './set-aside.ts';
import type { QuarantineLog } from './set-aside.ts';
import { setApplyMode } from './transaction.ts';

/** Intents held at once. */
const INTENT_ROWS = 200;

/** Step 2 of client.md 8.3: remembers every pending intent in upload order. False when there is none. */
export async function setIntentsAside(tx: SqliteTx, schema: LocalSchema): Promise<boolean> {
  await tx.run(fillIntentsSql(schema), [schema.name]);
  await tx.run(INTENTS_FROM_QUARANTINE, [schema.name]);
  await tx.run(SHOW_REFUSED_DELETES, [schema.name]);
  return countColumn(onlyRow(await tx.all(COUNT_INTENTS)), 0) > 0;
}

interface Intent {
  readonly position: number;
  readonly table: LocalTable;
  readonly keyJson: string;
  readonly payload: string | null;
}

/**
 * Step 4: writes the intents back over the snapshot, so that they are captured again, with their old bases and places. Intents equal to
 * the snapshot disappear; impossible ones go to quarantine. Returns how many keys the snapshot has a newer row for.
 */
export async function restoreIntents(tx: SqliteTx, schema: LocalSchema, log: QuarantineLog): Promise<number> {
  const restorer = new Restorer(tx, schema, log);
  await eachPage(tx, schema, (page) => restorer.dropEqual(page));
  await setApplyMode(tx, 2);
  await eachPage(tx, schema, (page) => restorer.writeBack(page));
  await restorer.settleForeignKeys();
  await setApplyMode(tx, 1);
  await tx.run(MOVE_CASCADE_ORDINALS);
  await tx.run(RESTORE_SAVED);
  await tx.run(DROP_QUARANTINED_DIRTY);
  await tx.run(DROP_FOREIGN_BASES);
  await tx.run(UNSET_OTHER_BASES);
  return (await tx.run(CONTESTED_FROM_SNAPSHOT, [schema.name])).changes;
}

async function eachPage(tx: SqliteTx, schema: LocalSchema, work: (page: readonly Intent[]) => Promise<void>): Promise<void> {
  for (let after = 0; ;) {
    const rows = await tx.all(INTENT_PAGE, [BigInt(after), BigInt(INTENT_ROWS)]);
    const last = rows.at(-1);
    if (last === undefined) return;
    after = countColumn(last, 0);
    await work(rows.flatMap((row) => intentOf(schema, row)));
  }
}

function intentOf(schema: LocalSchema, row: readonly SqlValue[]): Intent[] {
  const table = schema.tablesByName.get(textColumn(row, 1));
  if (table === undefined) return [];
  return [{ position: countColumn(row, 0), table, keyJson: textColumn(row, 2), payload: optionalTextColumn(row, 3) }];
}

class Restorer {
  readonly #tx: SqliteTx;
  readonly #schema: LocalSchema;
  readonly #log: QuarantineLog;

  constructor(tx: SqliteTx, schema: LocalSchema, log: QuarantineLog) {
    this.#tx = tx;
    this.#schema = schema;
    this.#log = log;
  }

  /** What the snapshot already says needs no push. */
  async dropEqual(page: readonly Intent[]): Promise<void> {
    const settled: number[] = [];
    for (const table of new Set(page.map((intent) => intent.table))) {
      const own = page.filter((intent) => intent.table === table);
      const live = await this.#livePayloads(table, own);
      for (const intent of own.map((partial) => completed(partial, live)))
        if (isSettled(table, intent, live.get(intent.keyJson) ?? null)) settled.push(intent.position);
    }
    if (settled.length === 0) return;
    await this.#tx.run(RELEASE_SETTLED, [JSON.stringify(settled)]);
    await this.#tx.run(DROP_INTENTS, [JSON.stringify(settled)]);
  }

  async #livePayloads(table: LocalTable, intents: readonly Intent[]): Promise<ReadonlyMap<string, string>> {
    const keys = JSON.stringify(intents.map((intent) => intent.keyJson));
    return new Map((await this.#tx.all(livePayloadsSql(table), [keys])).map((row) => [textColumn(row, 0), textColumn(row, 1)]));
  }

  async writeBack(page: readonly Intent[]): Promise<void> {
    for (const partial of page) {
      const intent = isPartial(partial) ? completed(partial, await this.#livePayloads(partial.table, [partial])) : partial;
      await this.#tx.exec('SAVEPOINT oversync_intent');
      try {
        await this.#write(intent);
        await this.#tx.exec('RELEASE oversync_intent');
      } catch (error) {
        await this.#tx.exec('ROLLBACK TO oversync_intent; RELEASE oversync_intent');
        if (!isConstraintFault(error)) throw error;
        await this.#quarantine(intent, codeOf(error));
      }
    }
  }

  async #write(intent: Intent): Promise<void> {
    if (intent.payload === null) await this.#tx.run(deleteOneSql(intent.table), [intent.keyJson]);
    else await writeCaptured(this.#tx, intent.table, intent.payload);
  }

  /** Foreign keys are deferred: restored rows whose parent is gone give way, until only rows of the snapshot are left to judge. */
  async settleForeignKeys(): Promise<void> {
    for (let hasChanged = true; hasChanged;) {
      hasChanged = false;
      for (const table of this.#schema.tables) {
        for (const reference of table.references) {
          const parent = this.#schema.tablesByName.get(reference.parentTable);
          if (parent === undefined) continue;
          for (const row of await this.#tx.all(orphansSql(table, reference, parent))) {
            hasChanged = (await this.#giveWay(table, textColumn(row, 0), parent, textColumn(row, 1))) || hasChanged;
          }
        }
      }
    }
  }

  /** Either the child or the deletion of its parent was pending; the other one is the server's. */
  async #giveWay(table: LocalTable, keyJson: string, parent: LocalTable, parentKeyJson: string): Promise<boolean> {
    const child = await this.#intentOf(table, keyJson);
    const intent = child ?? (await this.#intentOf(parent, parentKeyJson));
    if (intent === null) return false;
    await this.#quarantine(intent, 'foreign_key');
    await this.#showSnapshotRow(intent);
    return true;
  }

  async #intentOf(table: LocalTable, keyJson: string): Promise<Intent | null> {
    const [row] = await this.#tx.all(
      'SELECT position, table_name, key_json, payload FROM _oversync_work._oversync_intents WHERE table_name = ? AND key_json = ?',
      [table.wireName, keyJson],
    );
    return row === undefined ? null : (intentOf(this.#schema, row)[0] ?? null);
  }

  async #showSnapshotRow(intent: Intent): Promise<void> {
    await setApplyMode(this.#tx, 1);
    const [row] = await this.#tx.all(SNAPSHOT_PAYLOAD, [intent.table.wireName, intent.keyJson]);
    if (row === undefined) await this.#tx.run(deleteOneSql(intent.table), [intent.keyJson]);
    else await writeValues(this.#tx, intent.table, wireValues(intent.table, textColumn(row, 0)));
    await setApplyMode(this.#tx, 2);
  }

  async #quarantine(intent: Intent, code: string): Promise<void> {
    const position = BigInt(intent.position);
    const [row] = await this.#tx.all('SELECT op FROM _oversync_work._oversync_intents WHERE position = ?', [position]);
    await this.#tx.run(QUARANTINE_INTENT, [this.#schema.name, code, position]);
    await this.#tx.run('DELETE FROM _sync_dirty_rows WHERE schema_name = ? AND table_name = ? AND key_json = ?', [
      this.#schema.name,
      intent.table.wireName,
      intent.keyJson,
    ]);
    await this.#tx.run(DROP_INTENTS, [JSON.stringify([intent.position])]);
    const op = row === undefined ? 'UPDATE' : rowOp(textColumn(row, 0));
    this.#log.add({ table: intent.table.wireName, key: wireKeyOf(intent.table, intent.keyJson), op, origin: 'rebuild', code });
  }
}

/** Captured before columns were added, and kept so: see `adaptToChangedTables`. */
function isPartial({ table, payload }: Intent): boolean {
  if (payload === null || sliceCaptured(payload, table.columns, capturedPrefixes(table.columns)) !== null) return false;
  const members = parseCaptured(payload, table.key);
  return table.columns.some((column) => !members.has(column.wireName));
}

/** The edit on top of the row of the snapshot: columns that it does not know keep the server's value. */
function completed(intent: Intent, live: ReadonlyMap<string, string>): Intent {
  const { table, payload } = intent;
  const below = live.get(intent.keyJson);
  if (payload === null || below === undefined || !isPartial(intent)) return intent;
  const members = new Map([...parseCaptured(below, table.key), ...parseCaptured(payload, table.key)]);
  return { ...intent, payload: JSON.stringify(Object.fromEntries(members)) };
}

function isSettled(table: LocalTable, intent: Intent, live: string | null): boolean {
  if (intent.payload === null || live === null) return intent.payload === live;
  return intent.payload === live || isSameRow(rowFromCaptured(table, intent.payload), rowFromCaptured(table, live));
}

function codeOf(fault: SqliteFault): string {
  switch (fault.kind) {
    case 'unique':
      return 'unique_local';
    case 'foreign_key':
    case 'not_null':
    case 'check':
      return fault.kind;
    default:
      return 'constraint';
  }
}
