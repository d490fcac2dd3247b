/*
 * Work tables in a temporary database of their own: they hold the rows of one transaction, spill to disk when they are large, and never
 * reach the database file. Every transaction that uses them begins with `CREATE_WORK_TABLES` and empties what it fills.
 */

/** Whether the connection has the temporary database already. */
export const IS_WORK_ATTACHED = "SELECT 1 FROM pragma_database_list WHERE name = '_oversync_work'";

/**
 * A database without a name is temporary: its file appears when its pages do not fit into the cache, and is deleted with the connection. It
 * is a file also where `temp_store` is set to memory afterwards, and it is never flushed.
 */
export const ATTACH_WORK = "ATTACH DATABASE '' AS _oversync_work; PRAGMA _oversync_work.synchronous = OFF";

/**
 * Rows to apply. verdict: 0 apply; 1 the key is pending, keep the image; 2 apply, and the pending intent is settled by it;
 * 3 uploaded but edited since: queue again. uploaded_ordinal: position in the outbox. sql_payload: the payload with BLOBs in
 * hexadecimal, for tables that have any.
 */
const PAGE = `CREATE TABLE IF NOT EXISTS _oversync_work._oversync_page (
  ordinal INTEGER PRIMARY KEY,
  table_name TEXT NOT NULL,
  key_json TEXT NOT NULL,
  op TEXT NOT NULL,
  row_version INTEGER NOT NULL,
  payload TEXT,
  sql_payload TEXT,
  verdict INTEGER NOT NULL DEFAULT 0,
  uploaded_ordinal INTEGER,
  UNIQUE (table_name, key_json)
)`;

/**
 * Dirty rows in upload order, kept over the parts of one push. dirty_ordinal and is_delete tell whether a row is still the planned one.
 * size: captured bytes.
 */
const FREEZE_PLAN = `CREATE TABLE IF NOT EXISTS _oversync_work._oversync_freeze_plan (
  position INTEGER PRIMARY KEY,
  dirty_rowid INTEGER NOT NULL,
  dirty_ordinal INTEGER NOT NULL,
  is_delete INTEGER NOT NULL,
  size INTEGER NOT NULL
)`;

/** Pending intents set aside while a snapshot replaces the tables. quarantined: 1 = a quarantined row whose local value is shown. */
const INTENTS = `CREATE TABLE IF NOT EXISTS _oversync_work._oversync_intents (
  position INTEGER PRIMARY KEY,
  table_name TEXT NOT NULL,
  key_json TEXT NOT NULL,
  op TEXT NOT NULL,
  base_row_version INTEGER NOT NULL,
  payload TEXT,
  dirty_ordinal INTEGER NOT NULL,
  quarantined INTEGER NOT NULL DEFAULT 0,
  UNIQUE (table_name, key_json)
)`;

/** The rows of the snapshot whose keys have such an intent. */
const INTENT_ROWS = `CREATE TABLE IF NOT EXISTS _oversync_work._oversync_intent_rows (
  table_name TEXT NOT NULL,
  key_json TEXT NOT NULL,
  row_version INTEGER NOT NULL,
  payload TEXT NOT NULL,
  PRIMARY KEY (table_name, key_json)
)`;

export const CREATE_WORK_TABLES = [PAGE, FREEZE_PLAN, INTENTS, INTENT_ROWS].join(';\n');

/** Empties the work tables of apply; without a condition SQLite drops the pages at once. */
export const EMPTY_WORK_TABLES =
  'DELETE FROM _oversync_work._oversync_page; DELETE FROM _oversync_work._oversync_intents; DELETE FROM _oversync_work._oversync_intent_rows';
