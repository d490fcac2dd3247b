/* Reads of SQLite's own schema, for queries that want to know when their tables change. */

export const LOAD_SCHEMA_VERSION = 'PRAGMA schema_version';

/** Every b-tree with the table it belongs to; database 0 is main, 1 is temp, as in the programs of EXPLAIN. */
export const LOAD_SCHEMA_ROOTS = `SELECT 0, rootpage, tbl_name FROM sqlite_schema WHERE rootpage > 0
UNION ALL SELECT 1, rootpage, tbl_name FROM sqlite_temp_schema WHERE rootpage > 0`;

/** Virtual tables have no b-tree of their own. */
export const LOAD_VIRTUAL_TABLES = `SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage = 0
UNION ALL SELECT name FROM sqlite_temp_schema WHERE type = 'table' AND rootpage = 0`;
