import { describe, expect, it } from 'vitest';

import { planDirectPush } from './direct-push.ts';
import type { ApplyGroup } from './push-apply-sql.ts';
import { formatColumnSet } from './push-column-set.ts';
import type { PushOp } from './push-row.ts';
import { createCatalog, describeColumn, describeTable } from './test-table.ts';
import type { TableDescription } from './table-description.ts';

const NAME = describeColumn('name', 'text');
const PLACES = describeTable('places', [NAME, describeColumn('age', 'integer', { hasDefault: true })]);
const NOTES = describeTable('notes', [NAME], { tableId: 2 });

/** `columns` are places in the row type: 0 scope, 1 key, 2 name, 3 age. */
function group(tableId: number, op: PushOp, columns: readonly number[], form: 'l' | 'j' = 'l'): ApplyGroup {
  const columnSet = op === 'DELETE' ? '' : formatColumnSet(form, columns);
  return { tableId, op, columnSet, firstRowOrdinal: 0, rowCount: 1 };
}

function isDirect(groups: readonly ApplyGroup[], ...tables: readonly TableDescription[]): boolean {
  return planDirectPush(groups, createCatalog(...tables)) !== null;
}

describe('[P3] a push is direct', () => {
  it('when its rows name every published column', () => {
    expect(isDirect([group(1, 'INSERT', [1, 2, 3])], PLACES)).toBe(true);
    expect(isDirect([group(1, 'UPDATE', [2, 3])], PLACES)).toBe(true);
    expect(isDirect([group(1, 'DELETE', [])], PLACES)).toBe(true);
  });

  it('not when a default or the old value decides a column', () => {
    expect(isDirect([group(1, 'INSERT', [1, 2])], PLACES)).toBe(false);
    expect(isDirect([group(1, 'UPDATE', [3])], PLACES)).toBe(false);
  });

  it('not when PostgreSQL or the application may store something else', () => {
    const generated = describeTable('places', [NAME, describeColumn('age', 'integer', { isGenerated: true })]);
    expect(isDirect([group(1, 'INSERT', [1, 2])], generated)).toBe(false);
    expect(isDirect([group(1, 'INSERT', [1, 2, 3])], { ...PLACES, capturesPushes: true })).toBe(false);
  });

  it('not when a literal cannot hold its rows', () => {
    expect(isDirect([group(1, 'INSERT', [1, 2, 3], 'j')], PLACES)).toBe(false);
  });

  it('not when what its deletes take along has to be deleted later', () => {
    expect(isDirect([group(1, 'DELETE', [])], { ...PLACES, deletesFirst: false })).toBe(false);
  });

  it('when it inserts into many tables, but not when the order of its statements matters', () => {
    const inserts = [group(1, 'INSERT', [1, 2, 3]), group(2, 'INSERT', [1, 2])];
    expect(isDirect(inserts, PLACES, NOTES)).toBe(true);
    expect(isDirect([...inserts, group(2, 'DELETE', [])], PLACES, NOTES)).toBe(false);
    const updates = [group(2, 'UPDATE', [2]), group(2, 'UPDATE', [0, 2])];
    expect(isDirect(updates, PLACES, NOTES)).toBe(false);
  });

  it('not without rows, nor with a great many kinds of rows', () => {
    expect(isDirect([], PLACES)).toBe(false);
    expect(
      isDirect(
        Array.from({ length: 17 }, () => group(1, 'INSERT', [1, 2, 3])),
        PLACES,
      ),
    ).toBe(false);
  });
});
