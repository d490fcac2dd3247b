import { expect, test } from 'vitest';

import { formatFailure } from './format-failure.ts';

test('a failure says what happened and why, once, without a stack trace', () => {
  const cause = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:1'), { code: 'ECONNREFUSED' });
  const text = formatFailure('npm start', new Error('the database cannot be reached', { cause }), true);
  expect(text).toContain('the database cannot be reached; because: connect ECONNREFUSED 127.0.0.1:1 (ECONNREFUSED)');
  expect(text).toContain('DATABASE_URL');
  expect(text).not.toContain('    at ');
  expect(formatFailure('npm start', new Error('same', { cause: new Error('same') }), false)).not.toMatch(/because|DATABASE_URL/);
});
