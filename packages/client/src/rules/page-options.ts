import { SyncError } from '@oversync/protocol';

import { LIST_ROWS_DEFAULT, LIST_ROWS_MAX } from '../limits.ts';

/** Which part of a list a caller asks for. */
export interface ListPage {
  readonly table?: string;
  readonly limit?: number;
  readonly offset?: number;
}

/** The page with a limit in bounds and the table as it is stored. Throws `invalid_argument` with the name of the member. */
export function checkPage<T extends ListPage>(page: T): T & { readonly limit: number } {
  const { table, limit = LIST_ROWS_DEFAULT, offset = 0 } = page;
  checkInteger(limit, 1, LIST_ROWS_MAX, 'limit');
  checkInteger(offset, 0, Number.MAX_SAFE_INTEGER, 'offset');
  return { ...page, limit, ...(table === undefined ? {} : { table: storedTableName(table) }) };
}

/** Tables are called as in the configuration, in any case; everything that is stored has their lower-case name. */
export function storedTableName(table: string): string {
  if (typeof table !== 'string') throw new SyncError('invalid_argument', { details: { argument: 'table' } });
  return table.trim().toLowerCase();
}

function checkInteger(value: number, min: number, max: number, argument: string): void {
  if (!Number.isSafeInteger(value) || value < min || value > max)
    throw new SyncError('invalid_argument', { details: { argument } });
}
