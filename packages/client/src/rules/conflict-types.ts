import type { JsonValue } from '@oversync/protocol';

/** A typed value of a row as a resolver sees it: integers are bigint, REAL are numbers, BLOBs bytes, JSON columns parsed. */
export type RowValue = null | bigint | number | string | Uint8Array | JsonValue;

/** A row by lower-case column name. */
export type RowValues = Readonly<Record<string, RowValue>>;

export type RowOp = 'INSERT' | 'UPDATE' | 'DELETE';

/** Everything a resolver may decide by (client.md 6.7). `Row` is the type of the rows of one table, where `defineTables` knows it. */
export interface ConflictContext<Row = RowValues> {
  readonly schema: string;
  readonly table: string;
  /** The wire form of the key: text, or a dashed UUID. */
  readonly key: string;
  readonly localOp: RowOp;
  /** The live row; `null` when it is deleted locally. */
  readonly local: Readonly<Row> | null;
  /** The row before its first unsent edit; `null` when it was not captured. */
  readonly base: Readonly<Row> | null;
  /** The server's row; `null` when it has none or a tombstone. */
  readonly server: Readonly<Row> | null;
  readonly baseRowVersion: bigint;
  /** 0 when the server knows nothing of the key. */
  readonly serverRowVersion: bigint;
  readonly serverRowDeleted: boolean;
  readonly origin: 'push' | 'pull' | 'rebuild';
  /** 1 for the first decision about this key in this call. */
  readonly attempt: number;
}

/** What a resolver answers. Which answers are valid for which conflict is the table of client.md 6.7. */
export type Resolution<Row = RowValues> =
  | { readonly kind: 'acceptServer' }
  | { readonly kind: 'keepLocal' }
  | { readonly kind: 'keepMerged'; readonly row: Row }
  | { readonly kind: 'recreate' }
  | { readonly kind: 'defer' };

export interface Resolver<Row = RowValues> {
  (conflict: ConflictContext<Row>): Resolution<Row> | Promise<Resolution<Row>>;
  /** True when the resolver looks at `base`: tables that use it capture base images. */
  readonly usesBase?: boolean;
}

/** Names of the columns of a row. */
export type ColumnOf<Row> = Extract<keyof Row, string>;

/**
 * A resolver whose row type is left open. The engine hands every resolver the rows of its own table, which are what the application says
 * they are; no check at run time could tell.
 */
export type AnyResolver = (conflict: never) => unknown;
