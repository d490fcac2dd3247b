/** What the server knows about a registered table: read from `pg_catalog` at bootstrap, never from a client. */

/** One registered table as the host configures it (names are trimmed and lower-cased before use). */
export interface RegisteredTableConfig {
  /** Default `public`. */
  readonly schema?: string;
  readonly table: string;
  /** The one visible key column; its type is exactly `uuid` or `text`. */
  readonly syncKeyColumn: string;
  /** Published columns; default all. The key column is always published. */
  readonly columns?: readonly string[];
  /** Columns left out of the published ones. */
  readonly excludeColumns?: readonly string[];
  /** `json`/`jsonb` columns that travel as a JSON string holding JSON text, for clients that cannot bind nested values. */
  readonly jsonAsText?: readonly string[];
}

/** The hidden column that carries the scope id in every registered table. */
export const SCOPE_COLUMN = '_sync_scope_id';

/** Groups the PostgreSQL types by how their values are written on the wire and checked on the way in. */
export type ColumnFamily =
  | 'integer'
  | 'numeric'
  | 'float4'
  | 'float8'
  | 'boolean'
  | 'bytea'
  | 'uuid'
  | 'text'
  | 'timestamptz'
  | 'datetime'
  | 'json';

export interface IntegerRange {
  readonly min: bigint;
  readonly max: bigint;
}

export interface ColumnDescription {
  readonly name: string;
  readonly family: ColumnFamily;
  /** The declared type as SQL text, schema-qualified and with its modifier: what a cast to the column's own type names. */
  readonly sqlType: string;
  /** Name in `pg_catalog` of the type below all domains (`int4`, `bpchar` …), or `enum`. */
  readonly baseType: string;
  /** Present exactly for the family `integer`. */
  readonly integerRange?: IntegerRange;
  /** NOT NULL on the column or on a domain of its type. */
  readonly notNull: boolean;
  /** A value appears without the client sending one: default, identity or domain default. */
  readonly hasDefault: boolean;
  /** `GENERATED ALWAYS` as expression or identity: a pushed value is ignored. */
  readonly isGenerated: boolean;
  /** Carried as a JSON string (option `jsonAsText`); only for the family `json`. */
  readonly jsonAsText: boolean;
  /** See {@link ShapeColumn.origin}. */
  readonly origin?: string;
  /** Part of a foreign key or of a unique index: a value from another moment than the rest of the row could break it on a device. */
  readonly isConstrained?: boolean;
}

export type KeyKind = 'uuid' | 'text';

export interface TableDescription {
  /** Allocated once, never reused. */
  readonly tableId: number;
  readonly schema: string;
  readonly table: string;
  /** `schema.table`, the key of {@link Catalog.tables}. */
  readonly name: string;
  readonly keyColumn: string;
  readonly keyKind: KeyKind;
  /** Collation of a text key, quoted and qualified: a comparison must name it, or the unique index would not serve it. */
  readonly keyCollation: string | undefined;
  /** Number of the current shape; grows when the published columns change. */
  readonly shapeId: number;
  /** Published columns, key included, scope column excluded, sorted by UTF-16 code units of their names. */
  readonly columns: readonly ColumnDescription[];
  /** The same by name. */
  readonly columnByName: ReadonlyMap<string, ColumnDescription>;
  /** Every live column in the physical order of the row type, scope and unpublished ones included: the fields of a row literal. */
  readonly rowColumns: readonly string[];
  /** Columns, unpublished ones included, whose type refuses NULL: a row literal has to give each of them a value. */
  readonly literalColumns: readonly string[];
  /** Changes whenever a row literal made earlier may no longer cast to the row type or means something else. */
  readonly rowLayout: string;
  /** At least one published column is nested JSON on the wire, so its text is not yet canonical for a hash. */
  readonly hasNestedJson: boolean;
  /** Registered foreign keys reference this table only with ON DELETE NO ACTION, or not at all: its deletes run first. */
  readonly deletesFirst: boolean;
  /** An application BEFORE ROW trigger or a rule could change key or scope of a pushed row: capture never skips this table. */
  readonly capturesPushes: boolean;
  /** Columns that would be published, were they recorded: of a process that records nothing itself. */
  readonly unrecordedColumns?: readonly string[];
}

/** A column as one recorded shape saw it. */
export interface ShapeColumn {
  readonly name: string;
  readonly family: ColumnFamily;
  readonly jsonAsText: boolean;
  /**
   * Which column this is, as `oid of the table.attribute number`: a column that is dropped and added again is another one, although it
   * has the old name.
   */
  readonly origin?: string;
  /** Wire JSON text that rows from before this column get when they are rendered in a shape that has it. */
  readonly missingValue: string;
}

export interface TableShape {
  readonly tableId: number;
  readonly shapeId: number;
  readonly columns: readonly ShapeColumn[];
}

/** The registered tables at one moment; immutable, replaced as a whole when the catalog is read again. */
export interface Catalog {
  /** By `schema.table`, iterated in the order of these names. */
  readonly tables: ReadonlyMap<string, TableDescription>;
  readonly byId: ReadonlyMap<number, TableDescription>;
  /** Every recorded shape of the active tables: table id → shape id → shape. */
  readonly shapes: ReadonlyMap<number, ReadonlyMap<number, TableShape>>;
  /** Changes with any table's row layout; staged row literals are bound to it. */
  readonly rowLayout: string;
  /** Identifies the set of current shapes; part of the key of a snapshot image. */
  readonly shapeSet: string;
  /** Key of the checksums inside session tokens (server.md 6.5), 32 bytes. */
  readonly tokenSecret: Uint8Array<ArrayBuffer>;
}

const INT16: IntegerRange = { min: -32768n, max: 32767n };
const INT32: IntegerRange = { min: -2147483648n, max: 2147483647n };
const INT64: IntegerRange = { min: -9223372036854775808n, max: 9223372036854775807n };

/** Range per base type of the family `integer`. */
export const INTEGER_RANGES: ReadonlyMap<string, IntegerRange> = new Map([
  ['int2', INT16],
  ['int4', INT32],
  ['int8', INT64],
]);

/** Default JavaScript string order: by UTF-16 code units, the member order of canonical JSON. */
export function compareUtf16(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
