import { expect, test } from 'vitest';

import { ERROR_TABLE, isContention, isErrorCode, isPrecondition, SyncError } from '../index.ts';

const codesWhere = (isOfKind: (error: unknown) => boolean): readonly string[] =>
  Object.keys(ERROR_TABLE).filter((code) => isErrorCode(code) && isOfKind(new SyncError(code)));

test('[T118] contention is exactly an operation in progress', () => {
  expect(codesWhere(isContention)).toEqual(['operation_in_progress']);
});

test('[T118] a precondition is exactly a client that is not open, not attached, or whose source waits for a rebuild', () => {
  expect(codesWhere(isPrecondition).toSorted((a, b) => (a < b ? -1 : 1))).toEqual([
    'attach_required',
    'open_required',
    'source_recovery_required',
  ]);
});

test('errors of another copy of the package count, other values do not', () => {
  const foreign = Object.assign(new Error('x'), { name: 'SyncError', code: 'operation_in_progress', recovery: 'retry' });
  expect(isContention(foreign)).toBe(true);
  for (const value of [undefined, null, 'operation_in_progress', { code: 'open_required' }, new Error('open_required')]) {
    expect(isContention(value)).toBe(false);
    expect(isPrecondition(value)).toBe(false);
  }
});
