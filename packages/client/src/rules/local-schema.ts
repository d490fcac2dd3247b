import type { ColumnKind } from './column-kind.ts';
import type { Resolver, RowValues } from './conflict-types.ts';

/** One managed table as the application configures it (client.md 2.1). */
export interface TableConfig<Name extends string = string> {
  readonly tableName: Name;
  readonly syncKeyColumnName?: string;
  /** Wins over `syncKeyColumnName` when it has names that are not blank. */
  readonly syncKeyColumns?: readonly string[];
  /** Columns of text kind that travel as nested JSON. */
  readonly jsonColumns?: readonly string[];
  readonly resolver?: Resolver;
  /** Keep the row as it was before its first edit, for three-way merges. Default: whether the effective resolver asks for it. */
  readonly captureBase?: boolean;
  /**
   * Brings a queued row of an older version of the application into the present columns. Needed where a column was dropped, renamed or
   * changed its type while such rows are queued; without it `open` fails then with `upgrade_missing`, and nothing has changed.
   */
  readonly upgradeRow?: RowUpgrader;
}

/** A row that was queued under another shape of its table. */
export interface QueuedRow {
  readonly table: string;
  /** The wire form of the key. */
  readonly key: string;
  /** In the columns, and of the types, that the table had. */
  readonly values: RowValues;
  /** Columns that the table has gained since. */
  readonly added: readonly string[];
  /** Columns that it has lost, under these names, or that have another type now. */
  readonly lost: readonly string[];
}

/** Returns the row with exactly the present columns of the table and the same key. Called inside a transaction: must not wait. */
export type RowUpgrader<Row = RowValues> = (row: QueuedRow) => Row;

/** What `openLocalSchema` needs to know; a subset of the options of `createSyncClient`. */
export interface LocalSchemaConfig {
  readonly schema: string;
  readonly tables: readonly TableConfig[];
  /** The resolver of tables without one of their own: decides `captureBase` where a table does not say. */
  readonly resolver?: Resolver;
  readonly transitionWrites?: 'capture' | 'reject';
  readonly pragmas?: Partial<LocalPragmas>;
  /** Durable outcomes kept; 0 = off. Default: 10,000. */
  readonly outcomeLimit?: number;
}

/** Settings of the engine's connection. `foreignKeys` cannot be switched off. */
export interface LocalPragmas {
  readonly journalMode: 'wal' | 'delete' | 'truncate' | 'memory' | 'unchanged';
  readonly recursiveTriggers: boolean;
  readonly busyTimeoutMs: number;
  readonly cacheBytes: number;
  /**
   * Where SQLite keeps the pages that a statement is about to change, in case it fails, and the temporary tables of the application. In
   * `memory`, a transaction that captures tens of thousands of rows is 1.3 to 1.8 times as fast, and one statement takes as much memory as
   * the pages that it changes. Temporary tables that the connection has already are dropped by either value. Default: `memory` where the
   * database has at most 64 MB when it is opened, the connection has no temporary tables yet, and nobody has set `PRAGMA temp_store`; else
   * as it is.
   */
  readonly tempStore: 'file' | 'memory';
}

export interface LocalColumn {
  /** As SQLite stores it. */
  readonly name: string;
  /** Lower case: the name on the wire and in captured JSON. */
  readonly wireName: string;
  readonly kind: ColumnKind;
  readonly isJson: boolean;
  readonly isNotNull: boolean;
  /** Declared as boolean: most servers spell its values `true` and `false`. */
  readonly isBoolean: boolean;
}

/** One foreign-key column of a managed table. */
export interface LocalReference {
  readonly column: LocalColumn;
  /** Wire name of the referenced table. */
  readonly parentTable: string;
  readonly parentColumn: string;
  /** An index of the table begins with the column. Without one each change of a parent scans the table. */
  readonly isIndexed: boolean;
}

export interface LocalTable {
  /** As SQLite stores it. */
  readonly name: string;
  /** Lower case: the name on the wire and in every `_sync_` table. */
  readonly wireName: string;
  /** In table order, generated and hidden columns left out. */
  readonly columns: readonly LocalColumn[];
  readonly key: LocalColumn;
  /** Position in the table order of client.md 5.8, parents first. */
  readonly order: number;
  /** Tables of one foreign-key cycle share a number. */
  readonly group: number;
  /** The upserts of such a group must not be cut apart: the table refers to itself or is part of a cycle. */
  readonly isGroupIndivisible: boolean;
  readonly references: readonly LocalReference[];
  readonly capturesBase: boolean;
}

/** The validated configuration with everything the engine knows about the managed tables. Immutable; replaced after an ALTER TABLE. */
export interface LocalSchema {
  /** The server's schema name. */
  readonly name: string;
  /** In table order (client.md 5.8). */
  readonly tables: readonly LocalTable[];
  /** By wire name. */
  readonly tablesByName: ReadonlyMap<string, LocalTable>;
  /** `PRAGMA schema_version` this description was read at. */
  readonly schemaVersion: bigint;
  readonly features: SqliteFeatures;
}

export interface SqliteFeatures {
  /** `unhex` with an ignore list: BLOB columns can be managed. */
  readonly hasUnhex: boolean;
  /** Text and bound doubles give the same bits: REAL columns can be managed. */
  readonly readsRealsExactly: boolean;
  /** `octet_length`, which reads no content. */
  readonly hasOctetLength: boolean;
}

export type ConfigViolationCode =
  | 'schema_missing'
  | 'table_name_missing'
  | 'table_name_qualified'
  | 'table_name_unsupported'
  | 'table_reserved'
  | 'table_duplicate'
  | 'table_not_found'
  | 'table_not_ordinary'
  | 'key_missing'
  | 'key_count'
  | 'key_column_not_found'
  | 'primary_key_composite'
  | 'key_not_primary_key'
  | 'key_type_unsupported'
  | 'key_nullable'
  | 'scope_column_present'
  | 'column_name_unsupported'
  | 'foreign_key_composite'
  | 'foreign_key_open'
  | 'json_column_invalid'
  | 'key_collation_unsupported'
  | 'upgrade_missing'
  | 'upgrade_failed'
  | 'schema_name_conflict'
  | 'local_schema_incompatible'
  | 'sqlite_unsupported';

/** One broken rule of client.md 2.2. A list of them is `details.violations` of `config_invalid`. */
export interface ConfigViolation {
  readonly code: ConfigViolationCode;
  readonly table?: string;
  readonly column?: string;
  readonly references?: readonly string[];
}

/** Something that works, but not as the application may expect. */
export interface SchemaWarning {
  readonly code: 'decimal_affinity' | 'foreign_key_target_not_key' | 'foreign_key_not_indexed' | 'application_trigger';
  readonly table: string;
  readonly column?: string;
  readonly trigger?: string;
}
