/*
 * The local schema of client.md 3. The ten `_sync_` tables are shared with other clients of the same contract: names, columns, types,
 * defaults, checks and keys must not change, and nothing may be added to them. The `_oversync_` tables are ours.
 */

const NOW = "(strftime('%Y-%m-%dT%H:%M:%fZ','now'))";

const IDENTITY = `
  schema_name TEXT NOT NULL,
  table_name TEXT NOT NULL,
  key_json TEXT NOT NULL,`;

const SINGLETON = `
  singleton_key INTEGER NOT NULL PRIMARY KEY CHECK (singleton_key = 1),`;

const ROW_OP = "CHECK (op IN ('INSERT','UPDATE','DELETE'))";

/** Value of `canonical_json_contract`; a database that holds another one belongs to another generation. */
export const CANONICAL_JSON_CONTRACT = 'jcs_uniform_numeric_strings_v1';

/** Name, columns in order, and DDL of each shared table. */
export const SHARED_TABLES: readonly { readonly name: string; readonly columns: readonly string[]; readonly sql: string }[] = [
  {
    name: '_sync_apply_state',
    columns: ['singleton_key', 'apply_mode'],
    sql: `CREATE TABLE IF NOT EXISTS _sync_apply_state (${SINGLETON}
  apply_mode INTEGER NOT NULL DEFAULT 0
)`,
  },
  {
    name: '_sync_row_state',
    columns: ['schema_name', 'table_name', 'key_json', 'row_version', 'deleted', 'updated_at'],
    sql: `CREATE TABLE IF NOT EXISTS _sync_row_state (${IDENTITY}
  row_version INTEGER NOT NULL DEFAULT 0,
  deleted INTEGER NOT NULL DEFAULT 0,
  updated_at TEXT NOT NULL DEFAULT ${NOW},
  PRIMARY KEY (schema_name, table_name, key_json)
)`,
  },
  {
    name: '_sync_dirty_rows',
    columns: ['schema_name', 'table_name', 'key_json', 'op', 'base_row_version', 'payload', 'dirty_ordinal', 'updated_at'],
    sql: `CREATE TABLE IF NOT EXISTS _sync_dirty_rows (${IDENTITY}
  op TEXT NOT NULL ${ROW_OP},
  base_row_version INTEGER NOT NULL DEFAULT 0,
  payload TEXT,
  dirty_ordinal INTEGER NOT NULL DEFAULT 0,
  updated_at TEXT NOT NULL DEFAULT ${NOW},
  PRIMARY KEY (schema_name, table_name, key_json)
)`,
  },
  {
    name: '_sync_snapshot_stage',
    columns: ['snapshot_id', 'row_ordinal', 'schema_name', 'table_name', 'key_json', 'row_version', 'payload'],
    sql: `CREATE TABLE IF NOT EXISTS _sync_snapshot_stage (
  snapshot_id TEXT NOT NULL,
  row_ordinal INTEGER NOT NULL,${IDENTITY}
  row_version INTEGER NOT NULL,
  payload TEXT NOT NULL,
  PRIMARY KEY (snapshot_id, row_ordinal),
  UNIQUE (snapshot_id, schema_name, table_name, key_json)
)`,
  },
  {
    name: '_sync_source_state',
    columns: ['source_id', 'next_source_bundle_id', 'replaced_by_source_id', 'created_at'],
    sql: `CREATE TABLE IF NOT EXISTS _sync_source_state (
  source_id TEXT NOT NULL PRIMARY KEY,
  next_source_bundle_id INTEGER NOT NULL DEFAULT 1,
  replaced_by_source_id TEXT NOT NULL DEFAULT '',
  created_at TEXT NOT NULL DEFAULT ${NOW}
)`,
  },
  {
    name: '_sync_attachment_state',
    columns: [
      'singleton_key',
      'current_source_id',
      'binding_state',
      'attached_user_id',
      'schema_name',
      'last_bundle_seq_seen',
      'rebuild_required',
      'pending_initialization_id',
    ],
    sql: `CREATE TABLE IF NOT EXISTS _sync_attachment_state (${SINGLETON}
  current_source_id TEXT NOT NULL DEFAULT '',
  binding_state TEXT NOT NULL DEFAULT 'anonymous' CHECK (binding_state IN ('anonymous', 'attached')),
  attached_user_id TEXT NOT NULL DEFAULT '',
  schema_name TEXT NOT NULL DEFAULT '',
  last_bundle_seq_seen INTEGER NOT NULL DEFAULT 0,
  rebuild_required INTEGER NOT NULL DEFAULT 0,
  pending_initialization_id TEXT NOT NULL DEFAULT ''
)`,
  },
  {
    name: '_sync_operation_state',
    columns: [
      'singleton_key',
      'kind',
      'target_user_id',
      'staged_snapshot_id',
      'snapshot_bundle_seq',
      'snapshot_row_count',
      'snapshot_byte_count',
      'snapshot_stage_complete',
      'reason',
      'replacement_source_id',
    ],
    sql: `CREATE TABLE IF NOT EXISTS _sync_operation_state (${SINGLETON}
  kind TEXT NOT NULL DEFAULT 'none' CHECK (kind IN ('none', 'remote_replace', 'source_recovery')),
  target_user_id TEXT NOT NULL DEFAULT '',
  staged_snapshot_id TEXT NOT NULL DEFAULT '',
  snapshot_bundle_seq INTEGER NOT NULL DEFAULT 0,
  snapshot_row_count INTEGER NOT NULL DEFAULT 0,
  snapshot_byte_count INTEGER NOT NULL DEFAULT 0,
  snapshot_stage_complete INTEGER NOT NULL DEFAULT 0,
  reason TEXT NOT NULL DEFAULT '',
  replacement_source_id TEXT NOT NULL DEFAULT ''
)`,
  },
  {
    name: '_sync_outbox_bundle',
    columns: [
      'singleton_key',
      'canonical_json_contract',
      'state',
      'source_id',
      'source_bundle_id',
      'initialization_id',
      'canonical_request_hash',
      'row_count',
      'remote_bundle_hash',
      'remote_bundle_seq',
    ],
    sql: `CREATE TABLE IF NOT EXISTS _sync_outbox_bundle (${SINGLETON}
  canonical_json_contract TEXT NOT NULL CHECK (canonical_json_contract = '${CANONICAL_JSON_CONTRACT}'),
  state TEXT NOT NULL DEFAULT 'none' CHECK (state IN ('none', 'prepared', 'committed_remote')),
  source_id TEXT NOT NULL DEFAULT '',
  source_bundle_id INTEGER NOT NULL DEFAULT 0,
  initialization_id TEXT NOT NULL DEFAULT '',
  canonical_request_hash TEXT NOT NULL DEFAULT '',
  row_count INTEGER NOT NULL DEFAULT 0,
  remote_bundle_hash TEXT NOT NULL DEFAULT '',
  remote_bundle_seq INTEGER NOT NULL DEFAULT 0
)`,
  },
  {
    name: '_sync_outbox_rows',
    columns: [
      'source_bundle_id',
      'row_ordinal',
      'schema_name',
      'table_name',
      'key_json',
      'wire_key_json',
      'op',
      'base_row_version',
      'local_payload',
      'wire_payload',
    ],
    sql: `CREATE TABLE IF NOT EXISTS _sync_outbox_rows (
  source_bundle_id INTEGER NOT NULL,
  row_ordinal INTEGER NOT NULL,${IDENTITY}
  wire_key_json TEXT NOT NULL,
  op TEXT NOT NULL ${ROW_OP},
  base_row_version INTEGER NOT NULL DEFAULT 0,
  local_payload TEXT,
  wire_payload TEXT,
  PRIMARY KEY (source_bundle_id, row_ordinal)
)`,
  },
  {
    name: '_sync_managed_tables',
    columns: ['schema_name', 'table_name'],
    sql: `CREATE TABLE IF NOT EXISTS _sync_managed_tables (
  schema_name TEXT NOT NULL,
  table_name TEXT NOT NULL,
  PRIMARY KEY (schema_name, table_name)
)`,
  },
];

/** The one index of the shared tables: finds the next ordinal without a scan. */
export const SHARED_INDEX = 'CREATE INDEX IF NOT EXISTS idx_sync_dirty_rows_dirty_ordinal ON _sync_dirty_rows(dirty_ordinal)';

/** What the shared layout has no place for. With all of them empty the database is a plain one of the shared layout. */
export const OWN_TABLES: readonly { readonly name: string; readonly sql: string }[] = [
  {
    // Named values: layout version, open sessions, table fingerprints, counters of repeated failures.
    name: '_oversync_meta',
    sql: 'CREATE TABLE IF NOT EXISTS _oversync_meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)',
  },
  {
    // Pages of a bundle that is too large for memory.
    name: '_oversync_bundle_stage',
    sql: `CREATE TABLE IF NOT EXISTS _oversync_bundle_stage (
  bundle_seq INTEGER NOT NULL,
  row_ordinal INTEGER NOT NULL,${IDENTITY}
  op TEXT NOT NULL,
  row_version INTEGER NOT NULL,
  payload TEXT,
  PRIMARY KEY (bundle_seq, row_ordinal)
)`,
  },
  {
    // base_payload: local JSON before the first unsent edit. server_payload: wire JSON of the newest image of a contested key.
    name: '_oversync_row_bases',
    sql: `CREATE TABLE IF NOT EXISTS _oversync_row_bases (${IDENTITY}
  base_row_version INTEGER NOT NULL DEFAULT 0,
  base_payload TEXT,
  server_row_version INTEGER NOT NULL DEFAULT 0,
  server_deleted INTEGER NOT NULL DEFAULT 0,
  server_payload TEXT,
  PRIMARY KEY (schema_name, table_name, key_json)
)`,
  },
  {
    // Rows set aside. shows: whose value the application table holds.
    name: '_oversync_quarantine',
    sql: `CREATE TABLE IF NOT EXISTS _oversync_quarantine (${IDENTITY}
  op TEXT NOT NULL,
  base_row_version INTEGER NOT NULL,
  payload TEXT,
  origin TEXT NOT NULL CHECK (origin IN ('freeze','push','pull','rebuild','resolver')),
  code TEXT NOT NULL,
  detail TEXT,
  shows TEXT NOT NULL CHECK (shows IN ('local','server')),
  attempts INTEGER NOT NULL,
  created_at TEXT NOT NULL DEFAULT ${NOW},
  PRIMARY KEY (schema_name, table_name, key_json)
)`,
  },
  {
    // What became of each local write that reached a decision.
    name: '_oversync_outcomes',
    sql: `CREATE TABLE IF NOT EXISTS _oversync_outcomes (
  seq INTEGER PRIMARY KEY,${IDENTITY}
  op TEXT NOT NULL,
  outcome TEXT NOT NULL CHECK (outcome IN ('accepted','server_won','merged','kept_local','rejected','discarded')),
  code TEXT,
  bundle_seq INTEGER,
  row_version INTEGER,
  at TEXT NOT NULL DEFAULT ${NOW}
)`,
  },
  {
    // Anonymous changes set aside by a remote-authoritative attach.
    name: '_oversync_discarded',
    sql: `CREATE TABLE IF NOT EXISTS _oversync_discarded (${IDENTITY}
  op TEXT NOT NULL,
  base_row_version INTEGER NOT NULL,
  payload TEXT,
  dirty_ordinal INTEGER NOT NULL,
  created_at TEXT NOT NULL DEFAULT ${NOW},
  PRIMARY KEY (schema_name, table_name, key_json)
)`,
  },
];

const OUTCOMES_KEPT = `(SELECT CAST(value AS INTEGER) FROM _oversync_meta WHERE name = 'outcome_limit')`;

/**
 * Whatever sets a row aside, in whichever statement, ends a local write as `rejected`. A trigger cannot be forgotten by the next path
 * that does so, and costs no round trip. It is temporary, because only this connection sets rows aside and the database file is to hold
 * no triggers but those of capture.
 */
function rejectedOutcomeTrigger(suffix: string, event: string): string {
  return `CREATE TEMP TRIGGER IF NOT EXISTS _oversync_quarantine_${suffix} AFTER ${event} ON main._oversync_quarantine WHEN ${OUTCOMES_KEPT} > 0 BEGIN
  INSERT INTO _oversync_outcomes(schema_name, table_name, key_json, op, outcome, code)
  VALUES (NEW.schema_name, NEW.table_name, NEW.key_json, NEW.op, 'rejected', NEW.code);
  DELETE FROM _oversync_outcomes WHERE seq <= (SELECT MAX(seq) FROM _oversync_outcomes) - ${OUTCOMES_KEPT};
END`;
}

/** Triggers on own tables. */
const OWN_TRIGGERS = [rejectedOutcomeTrigger('ai', 'INSERT'), rejectedOutcomeTrigger('au', 'UPDATE OF code')];

/** Creates what is missing and inserts the singleton rows with their defaults. */
export const CREATE_LOCAL_SCHEMA = [
  ...SHARED_TABLES.map((table) => table.sql),
  SHARED_INDEX,
  ...OWN_TABLES.map((table) => table.sql),
  ...OWN_TRIGGERS,
  'INSERT INTO _sync_apply_state(singleton_key) VALUES (1) ON CONFLICT DO NOTHING',
  'INSERT INTO _sync_attachment_state(singleton_key) VALUES (1) ON CONFLICT DO NOTHING',
  'INSERT INTO _sync_operation_state(singleton_key) VALUES (1) ON CONFLICT DO NOTHING',
  `INSERT INTO _sync_outbox_bundle(singleton_key, canonical_json_contract) VALUES (1, '${CANONICAL_JSON_CONTRACT}') ON CONFLICT DO NOTHING`,
  'UPDATE _sync_apply_state SET apply_mode = 0 WHERE apply_mode <> 0',
].join(';\n');

/** Names an application table must not have. */
export const RESERVED_TABLE_NAMES: ReadonlySet<string> = new Set([
  ...SHARED_TABLES.map((table) => table.name),
  ...OWN_TABLES.map((table) => table.name),
]);

/** Drops every table of client.md 3, and nothing else. */
export const DROP_LOCAL_SCHEMA = [...RESERVED_TABLE_NAMES].map((name) => `DROP TABLE IF EXISTS ${name}`).join(';\n');
