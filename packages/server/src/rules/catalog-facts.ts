/** What `pg_catalog` says about the registered tables: plain data that the checks and descriptions are decided from. */

export interface ServerFacts {
  /** `server_version_num`, e.g. 180004. */
  readonly versionNumber: number;
  readonly encoding: string;
  readonly role: string;
  readonly database: string;
  readonly canCreateSchema: boolean;
  readonly metadata: MetadataFacts;
}

/** State of the metadata schema. `layout` is undefined where no table `meta` of a known form exists. */
export interface MetadataFacts {
  readonly schema: string;
  readonly exists: boolean;
  readonly isEmpty: boolean;
  readonly canUse: boolean;
  readonly canCreate: boolean;
  readonly layout: string | undefined;
  readonly version: number;
  /** Lowest version of a process that can work with the schema. */
  readonly readableBy: number;
}

export interface RelationFact {
  readonly oid: string;
  /** The configured table that this relation is, or is a partition of. */
  readonly rootOid: string;
  readonly schema: string;
  readonly name: string;
  /** `pg_class.relkind`. */
  readonly kind: string;
  /** `pg_class.relpersistence`. */
  readonly persistence: string;
  readonly isPartition: boolean;
  readonly hasInheritance: boolean;
  readonly rowSecurityActive: boolean;
  readonly hasRules: boolean;
  readonly canUseSchema: boolean;
  readonly canReadAndWrite: boolean;
  readonly isOwner: boolean;
  readonly owner: string;
}

export interface ColumnFact {
  readonly relationOid: string;
  readonly attributeNumber: number;
  readonly name: string;
  /** `format_type` with nothing but `pg_catalog` in the search path. */
  readonly sqlType: string;
  /** Below all domains. */
  readonly baseType: string;
  readonly baseTypeSchema: string;
  /** `pg_type.typtype` of the base type. */
  readonly baseTypeType: string;
  readonly isDomain: boolean;
  readonly notNull: boolean;
  readonly domainNotNull: boolean;
  readonly hasDefault: boolean;
  readonly defaultSql: string | undefined;
  readonly isGenerated: boolean;
  /** `a` always, `d` by default, or empty. */
  readonly identity: string;
  /** Quoted and qualified; undefined for types without collation. */
  readonly collation: string | undefined;
  readonly isCollationDeterministic: boolean;
  readonly hasMissingValue: boolean;
}

export interface IndexFact {
  readonly relationOid: string;
  readonly schema: string;
  readonly name: string;
  readonly isUnique: boolean;
  readonly isExclusion: boolean;
  readonly isUsable: boolean;
  readonly isPartial: boolean;
  readonly hasExpressions: boolean;
  /** Attribute numbers of the key part, INCLUDE columns left out; 0 stands for an expression. */
  readonly keyAttributes: readonly number[];
  /** Index of a partition that belongs to an index of the root. */
  readonly isInherited: boolean;
  readonly constraint: string | undefined;
  readonly constraintDefinition: string | undefined;
  readonly isDeferrable: boolean;
  /** A foreign key references the constraint or index. */
  readonly isReferenced: boolean;
  /** Exclusion constraints: operator names in the order of the key. */
  readonly exclusionOperators: readonly string[];
}

export interface ForeignKeyFact {
  readonly relationOid: string;
  readonly constraint: string;
  readonly attributes: readonly number[];
  readonly parentOid: string;
  readonly parentSchema: string;
  readonly parentTable: string;
  /** Column names on the parent in the order of `attributes`. */
  readonly parentColumns: readonly string[];
  /** `confdeltype`, `confupdtype`: a no action, r restrict, c cascade, n set null, d set default. */
  readonly onDelete: string;
  readonly onUpdate: string;
  /** Attribute numbers of `ON DELETE SET … (columns)`; empty means all. */
  readonly deleteSetAttributes: readonly number[];
  /** `confmatchtype`: s simple, f full, p partial. */
  readonly match: string;
  readonly isDeferrable: boolean;
  readonly isValidated: boolean;
  readonly definition: string;
}

export interface TriggerFact {
  readonly relationOid: string;
  readonly name: string;
  readonly functionSchema: string;
  readonly functionName: string;
  readonly type: number;
  readonly enabled: string;
  readonly oldTable: string | undefined;
  readonly newTable: string | undefined;
}

export interface FunctionFact {
  readonly name: string;
  readonly args: string;
  readonly volatility: string;
  readonly isStrict: boolean;
  readonly securityDefiner: boolean;
  readonly config: string;
  readonly body: string;
}

/** One consistent reading of the catalog. */
export interface CatalogFacts {
  readonly server: ServerFacts;
  readonly relations: readonly RelationFact[];
  readonly columns: readonly ColumnFact[];
  readonly indexes: readonly IndexFact[];
  readonly foreignKeys: readonly ForeignKeyFact[];
  readonly triggers: readonly TriggerFact[];
  /** Functions of the metadata schema. */
  readonly functions: readonly FunctionFact[];
}

/** A configured table with its names in the form in which the catalog has them. */
export interface NormalisedTable {
  readonly schema: string;
  readonly table: string;
  readonly keyColumn: string;
  readonly columns: readonly string[] | undefined;
  readonly excludeColumns: readonly string[];
  readonly jsonAsText: readonly string[];
  /** Columns that are left out until another process has recorded them. */
  readonly unrecordedColumns?: readonly string[];
}
