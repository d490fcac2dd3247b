/** What SQLite says about the database, as far as validation needs it. Names as stored. */
export interface Catalog {
  readonly sqliteVersion: string;
  readonly tables: readonly CatalogTable[];
  /** Columns of existing `_sync_` tables by table name. */
  readonly sharedColumns: ReadonlyMap<string, readonly string[]>;
  /** Schema names that existing sync state belongs to. */
  readonly knownSchemaNames: readonly string[];
  readonly triggers: readonly { readonly name: string; readonly table: string; readonly sql: string }[];
}

export interface CatalogTable {
  readonly name: string;
  readonly type: 'table' | 'view' | 'virtual' | 'shadow';
  readonly columns: readonly CatalogColumn[];
  readonly foreignKeys: readonly CatalogForeignKey[];
  /** First columns of its indexes. */
  readonly indexedColumns: readonly string[];
  /** Collations of the columns of the primary key. */
  readonly collations: readonly { readonly column: string; readonly collation: string }[];
}

export interface CatalogColumn {
  readonly name: string;
  readonly declaredType: string;
  readonly isNotNull: boolean;
  /** 0 = not part of the primary key. */
  readonly primaryKeyPosition: number;
}

export interface CatalogForeignKey {
  readonly parentTable: string;
  /** `to` is `null` when the key of the parent is meant. */
  readonly columns: readonly { readonly from: string; readonly to: string | null }[];
}
