import type { DatabaseSync, SQLOutputValue } from 'node:sqlite';

import type { FixtureObject } from '../json.ts';

/** The ten tables in the order in which a dump numbers the source ids, with the order of their rows. */
const STATE_TABLES: readonly (readonly [name: string, order: string])[] = [
  ['apply_state', 'singleton_key'],
  ['attachment_state', 'singleton_key'],
  ['source_state', 'source_id'],
  ['operation_state', 'singleton_key'],
  ['outbox_bundle', 'singleton_key'],
  ['outbox_rows', 'source_bundle_id, row_ordinal'],
  ['dirty_rows', 'dirty_ordinal, table_name, key_json'],
  ['row_state', 'schema_name, table_name, key_json'],
  ['snapshot_stage', 'snapshot_id, row_ordinal'],
  ['managed_tables', 'schema_name, table_name'],
];

const SOURCE_COLUMNS = new Set(['source_id', 'current_source_id', 'replaced_by_source_id', 'replacement_source_id']);
const TIME_COLUMNS = new Set(['created_at', 'updated_at']);
const HASH_COLUMNS = new Set(['canonical_request_hash', 'remote_bundle_hash']);

export function all(database: DatabaseSync, sql: string): readonly Record<string, SQLOutputValue>[] {
  return database
    .prepare(sql)
    .all()
    .map((row) => ({ ...row }));
}

/** The full sync state with source ids numbered by first appearance, and times and hashes replaced by their names. */
export function dumpState(database: DatabaseSync): FixtureObject {
  const sources = new Map<string, string>();
  const normal = (column: string, value: SQLOutputValue): unknown => {
    if (value === null || value === '') return value;
    if (TIME_COLUMNS.has(column)) return '<timestamp>';
    if (HASH_COLUMNS.has(column)) return '<hash>';
    if (!SOURCE_COLUMNS.has(column)) return value;
    const known = sources.get(String(value)) ?? `<source-${sources.size + 1}>`;
    sources.set(String(value), known);
    return known;
  };
  const state = STATE_TABLES.map(([name, order]): readonly [string, unknown] => [
    name,
    all(database, `SELECT * FROM _sync_${name} ORDER BY ${order}`).map((row) =>
      Object.fromEntries(Object.entries(row).map(([column, value]) => [column, normal(column, value)])),
    ),
  ]);
  return { formatVersion: 1, state: Object.fromEntries(state) };
}

function scalar(database: DatabaseSync, sql: string): SQLOutputValue {
  const [row] = all(database, sql);
  return Object.values(row ?? {})[0] ?? null;
}

/** The current source id. */
export function currentSource(database: DatabaseSync): string {
  return String(scalar(database, 'SELECT current_source_id FROM _sync_attachment_state'));
}

const count = (table: string): string => `SELECT count(*) FROM _sync_${table}`;

/** The members of a short expected state: what each one reads. */
const FACTS: Readonly<Record<string, string>> = {
  applyMode: 'SELECT apply_mode FROM _sync_apply_state',
  rebuildRequired: 'SELECT rebuild_required FROM _sync_attachment_state',
  lastBundleSeqSeen: 'SELECT last_bundle_seq_seen FROM _sync_attachment_state',
  outboxState: 'SELECT state FROM _sync_outbox_bundle',
  outboxRowCount: count('outbox_rows'),
  dirtyRowCount: count('dirty_rows'),
  rowStateCount: count('row_state'),
  snapshotStageCount: count('snapshot_stage'),
  nextSourceBundleId: `SELECT next_source_bundle_id FROM _sync_source_state
    WHERE source_id = (SELECT current_source_id FROM _sync_attachment_state)`,
};

/** Reads what a short expected state names. A member that is unknown fails the case. */
export function readFacts(database: DatabaseSync, expected: FixtureObject, sourceAtStart: string): FixtureObject {
  const read = (name: string, value: unknown): unknown => {
    if (name === 'currentSourceChangedFromStepStart') return currentSource(database) !== sourceAtStart;
    if (name === 'oldSourceReplacedByCurrent') return successorOf(database, sourceAtStart) === currentSource(database);
    const sql = FACTS[name];
    if (sql === undefined) throw new Error(`unknown member of an expected state: ${name}`);
    const found = scalar(database, sql);
    return typeof value === 'boolean' ? found === 1 : found;
  };
  return Object.fromEntries(Object.entries(expected).map(([name, value]) => [name, read(name, value)]));
}

function successorOf(database: DatabaseSync, sourceId: string): unknown {
  const row = database.prepare('SELECT replaced_by_source_id FROM _sync_source_state WHERE source_id = ?').get(sourceId);
  return row?.['replaced_by_source_id'];
}

/** The rows of the tables that an expected application state names, in key order; BLOBs as hex digits. */
export function readTables(database: DatabaseSync, expected: FixtureObject): FixtureObject {
  const read = (name: string): unknown => {
    const table = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    return all(database, `SELECT * FROM "${table}" ORDER BY id`).map((row) =>
      Object.fromEntries(Object.entries(row).map(([column, value]) => [column, plain(value)])),
    );
  };
  return Object.fromEntries(Object.keys(expected).map((name) => [name, read(name)]));
}

function plain(value: SQLOutputValue): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value;
}
