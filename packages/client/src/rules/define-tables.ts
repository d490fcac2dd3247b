import type { AnyResolver, ColumnOf, Resolver, RowValue, RowValues } from './conflict-types.ts';
import type { RowUpgrader, TableConfig } from './local-schema.ts';

/** One table of `defineTables`, checked against the type of its rows. */
export interface TableDefinition<Row> {
  /** The column of the sync key. */
  readonly key: ColumnOf<Row>;
  /** Columns of text kind that travel as nested JSON. */
  readonly jsonColumns?: readonly ColumnOf<Row>[];
  /** Conflict policy of this table. */
  readonly resolver?: Resolver<Row>;
  /** Keep the row as it was before its first edit, for three-way merges. Default: whether the effective resolver asks for it. */
  readonly captureBase?: boolean;
  /** Brings queued rows of an older version of the application into the present columns. */
  readonly upgradeRow?: RowUpgrader<Row>;
}

/** A schema whose rows hold nothing but what SQLite can: table names, and for each the type of its rows. */
export type RowTypes<Schema> = {
  readonly [Name in keyof Schema]: { readonly [Column in keyof Schema[Name]]: RowValue };
};

/**
 * The managed tables with their names known to the compiler, for the option `tables`.
 *
 * With the row types as type argument, keys and JSON columns are checked, and resolvers see typed rows: names in lower case, INTEGER as
 * `bigint`, REAL as `number`, BLOB as `Uint8Array`, JSON columns parsed. The types are taken on trust; `open()` checks the names.
 *
 * @example
 * ```ts
 * interface Note { id: string; title: string; stars: bigint }
 * const tables = defineTables<{ notes: Note }>({
 *   notes: { key: 'id', resolver: ({ local, server }) => ({ kind: (local?.stars ?? 0n) > (server?.stars ?? 0n) ? 'keepLocal' : 'acceptServer' }) },
 * });
 * const client = createSyncClient({ tables, ...options });
 * ```
 */
export function defineTables<
  Schema extends RowTypes<Schema> = Record<string, RowValues>,
  Name extends ColumnOf<Schema> = ColumnOf<Schema>,
>(tables: { readonly [N in Name]: TableDefinition<Schema[N]> }): readonly TableConfig<Name>[] {
  return namesOf(tables).map((tableName) => {
    const { key, resolver, upgradeRow, ...rest }: TableDefinition<Schema[Name]> = tables[tableName];
    const untyped = resolver === undefined ? {} : { resolver: resolver as AnyResolver as Resolver };
    return { tableName, syncKeyColumnName: key, ...rest, ...untyped, ...(upgradeRow === undefined ? {} : { upgradeRow }) };
  });
}

function namesOf<Name extends string>(tables: Readonly<Record<Name, unknown>>): readonly Name[] {
  return Object.keys(tables).filter((name): name is Name => Object.hasOwn(tables, name));
}
