import { describe, expect, it } from 'vitest';

import { decideViolationKind } from './violation-map.ts';

describe('a database fault while pushed rows are converted or applied', () => {
  it.each([
    ['23505', 'unique'],
    ['23P01', 'exclusion'],
    ['23503', 'foreign_key'],
    ['23001', 'foreign_key'],
    ['23502', 'not_null'],
    ['23514', 'check'],
    ['44000', 'check'],
    ['23000', 'check'],
    ['22003', 'out_of_range'],
    ['22001', 'out_of_range'],
    ['22008', 'out_of_range'],
    ['54000', 'out_of_range'],
    ['22P02', 'invalid_text'],
    ['22007', 'invalid_text'],
    ['22021', 'invalid_text'],
    ['22P05', 'invalid_text'],
    ['P0001', 'rejected_by_trigger'],
    ['AB123', 'rejected_by_trigger'],
    ['OV001', 'rejected_by_trigger'],
    ['OV002', 'not_representable'],
  ])('[E1] %s blames the row: %s', (sqlState, kind) => {
    expect(decideViolationKind({ sqlState, where: undefined })).toBe(kind);
  });

  it.each([
    '40001',
    '40P01',
    '55P03',
    '57014',
    '57P01',
    '08006',
    '53300',
    '42501',
    '42P01',
    '42703',
    '42804',
    'XX000',
    '25P02',
    '0A000',
  ])('[E2] %s blames nobody who pushed', (sqlState) => {
    expect(decideViolationKind({ sqlState, where: undefined })).toBeNull();
    expect(decideViolationKind({ sqlState, where: 'PL/pgSQL function f() line 3 at SQL statement' })).toBeNull();
  });

  it('a state of the server that a trigger raised on purpose blames the row', () => {
    expect(decideViolationKind({ sqlState: '42501', where: 'PL/pgSQL function deny() line 3 at RAISE' })).toBe(
      'rejected_by_trigger',
    );
    expect(decideViolationKind({ sqlState: '42501', where: 'PL/pgSQL-Funktion deny() Zeile 3 bei RAISE\nSQL »…«' })).toBe(
      'rejected_by_trigger',
    );
  });
});
