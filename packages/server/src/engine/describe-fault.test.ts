import { SyncError } from '@oversync/protocol';
import { expect, test } from 'vitest';

import { PgFault } from '../ports/postgres.ts';
import { describeFault } from './describe-fault.ts';

const SECRET = 'the-secret-value';

test('messages that quote data, details and driver errors are left out, names stay', () => {
  for (const sqlState of ['22P02', '23505', '44000', 'P0001', 'OV001']) {
    const driverError = new Error(`Key (id)=(${SECRET}) already exists`);
    const fault = new PgFault(`invalid input "${SECRET}"`, {
      sqlState,
      detail: SECRET,
      where: SECRET,
      table: 'notes',
      constraint: 'notes_pkey',
      cause: driverError,
    });
    const text = JSON.stringify(describeFault(new SyncError('pull_failed', { cause: fault })));
    expect(text).not.toContain(SECRET);
    expect(text).toContain(sqlState);
    expect(text).toContain('notes_pkey');
  }
});

test('what an operator has to know about a broken set-up stays', () => {
  const fault = new PgFault('relation "sync.bundle" does not exist', { sqlState: '42P01' });
  expect(describeFault(fault)).toStrictEqual({
    name: 'PgFault',
    sqlState: '42P01',
    message: 'relation "sync.bundle" does not exist',
  });
});

test('a chain of causes ends, and a thrown value that is no error is not shown', () => {
  const loop: Error & { cause?: unknown } = new Error('loop');
  loop.cause = loop;
  expect(JSON.stringify(describeFault(loop)).match(/"message":"loop"/g)).toHaveLength(6);
  expect(describeFault(SECRET)).toStrictEqual({ name: 'string' });
});
