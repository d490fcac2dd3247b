import type { AnyResolver, ColumnOf, ConflictContext, Resolution, Resolver, RowValue, RowValues } from './conflict-types.ts';
import { isSameValue } from './row-values.ts';

/** The server's row wins; the local change is given up. The default. */
export function serverWins<Row = RowValues>(_conflict: ConflictContext<Row>): Resolution<Row> {
  return { kind: 'acceptServer' };
}

/** The local row wins. A row that the server has deleted is made again. */
export function clientWins<Row = RowValues>(conflict: ConflictContext<Row>): Resolution<Row> {
  const isGone = conflict.localOp === 'UPDATE' && conflict.server === null;
  return { kind: isGone ? 'recreate' : 'keepLocal' };
}

/** The local row is kept and pushed again. Not valid for an edit of a row that the server has deleted. */
export function keepLocal<Row = RowValues>(_conflict: ConflictContext<Row>): Resolution<Row> {
  return { kind: 'keepLocal' };
}

/** Decides about one column that both sides have changed differently. */
export type ColumnMerge<Value = RowValue> = (values: {
  readonly base: Value;
  readonly local: Value;
  readonly server: Value;
}) => Value;

/** Options of `mergeColumns`. */
export interface MergeOptions<Row = RowValues> {
  /** Whose value stands where both have changed one and no function is given. */
  readonly prefer: 'local' | 'server';
  /** Functions for single columns. */
  readonly columns?: { readonly [Name in ColumnOf<Row>]?: ColumnMerge<Row[Name]> };
}

/**
 * Merges column by column: a column changed on one side only takes that side, one changed equally on both takes that value, one changed
 * differently takes what its function in `columns` returns, else `prefer`. Without a base image, or when one side has deleted the row,
 * `prefer` decides for the whole row.
 *
 * @example
 * ```ts
 * const addUp: ColumnMerge = ({ base, local, server }) => BigInt(String(local)) + BigInt(String(server)) - BigInt(String(base));
 * const resolver = mergeColumns({ prefer: 'local', columns: { likes: addUp } });
 * ```
 */
export function mergeColumns<Row = RowValues>(options: MergeOptions<Row>): Resolver<Row> {
  const fallback: Resolver = options.prefer === 'local' ? clientWins : serverWins;
  const merges = columnMerges(options.columns ?? {});
  const resolver: Resolver = (conflict) => {
    const { base, local, server } = conflict;
    if (base === null || local === null || server === null) return fallback(conflict);
    return { kind: 'keepMerged', row: mergeRows(base, local, server, options.prefer, merges) };
  };
  return Object.assign(resolver, { usesBase: true }) as AnyResolver as Resolver<Row>;
}

function columnMerges(columns: object): ReadonlyMap<string, ColumnMerge> {
  return new Map(
    Object.entries(columns).map(([name, merge]: [string, ColumnMerge]): [string, ColumnMerge] => [name.toLowerCase(), merge]),
  );
}

function mergeRows(
  base: RowValues,
  local: RowValues,
  server: RowValues,
  prefer: 'local' | 'server',
  merges: ReadonlyMap<string, ColumnMerge>,
): RowValues {
  const merged: Record<string, RowValue> = {};
  for (const name of Object.keys(server)) {
    const [before, here, there] = [base[name] ?? null, local[name] ?? null, server[name] ?? null];
    if (isSameValue(before, here)) merged[name] = there;
    else if (isSameValue(before, there)) merged[name] = here;
    else merged[name] = mergeValue(merges.get(name), { base: before, local: here, server: there }, prefer);
  }
  return merged;
}

function mergeValue(merge: ColumnMerge | undefined, values: Parameters<ColumnMerge>[0], prefer: 'local' | 'server'): RowValue {
  return merge === undefined ? values[prefer] : merge(values);
}

/**
 * The row with the later instant in `column` wins; a tie, or a value that is no instant, goes to the server. Integers and REAL compare
 * as numbers, text as a date and time (ISO 8601; without an offset it is UTC). A deleted row has no instant, so the other side wins.
 */
export function latestBy<Row = RowValues>(column: NoInfer<ColumnOf<Row>>): Resolver<Row> {
  const name = column.toLowerCase();
  const resolver: Resolver = (conflict) => {
    if (conflict.local === null) return { kind: 'acceptServer' };
    if (conflict.server === null) return clientWinsResolution(conflict);
    const here = instantOf(conflict.local[name] ?? null);
    const there = instantOf(conflict.server[name] ?? null);
    if (here === null || there === null || here <= there) return { kind: 'acceptServer' };
    return { kind: 'keepLocal' };
  };
  return resolver as AnyResolver as Resolver<Row>;
}

function clientWinsResolution(conflict: ConflictContext): Resolution {
  return { kind: conflict.localOp === 'UPDATE' ? 'recreate' : 'keepLocal' };
}

const INSTANT = /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2})?)(?:[.,](\d{1,9}))?\s*(Z|[+-]\d{2}(?::?\d{2})?)?$/i;

/** Nanoseconds since 1970 for text, the number itself otherwise: exact, because edits may be less than a millisecond apart. */
function instantOf(value: RowValue): bigint | null {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number') return Number.isFinite(value) ? BigInt(Math.round(value * MILLION)) : null;
  if (typeof value !== 'string') return null;
  const match = INSTANT.exec(value.trim());
  if (match === null) return null;
  const [, date = '', time = '', fraction = '', offset = 'Z'] = match;
  const millis = Date.parse(`${date}T${time.length === 5 ? `${time}:00` : time}${isoOffset(offset)}`);
  return Number.isNaN(millis) ? null : BigInt(millis) * 1_000_000n + BigInt(fraction.padEnd(9, '0'));
}

const MILLION = 1_000_000;

function isoOffset(offset: string): string {
  if (offset.toUpperCase() === 'Z') return 'Z';
  const digits = offset.replace(':', '').padEnd(5, '0');
  return `${digits.slice(0, 3)}:${digits.slice(3)}`;
}
