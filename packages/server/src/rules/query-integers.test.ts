import { expect, test } from 'vitest';

import { parseQueryInteger } from './query-integers.ts';

test.each([
  ['0', 0n],
  ['+7', 7n],
  ['-7', -7n],
  ['007', 7n],
  ['9223372036854775807', 9223372036854775807n],
  ['-9223372036854775808', -9223372036854775808n],
])('%s is an integer', (text, value) => {
  expect(parseQueryInteger(text)).toBe(value);
});

test.each(['9223372036854775808', '-9223372036854775809', '1.0', '1e3', ' 1', '1 ', '0x1', '--1', 'NaN', '１', '1'.repeat(60)])(
  '%s is no integer',
  (text) => {
    expect(parseQueryInteger(text)).toBeNull();
  },
);

test('an empty or missing value is absent', () => {
  expect(parseQueryInteger('')).toBeUndefined();
  expect(parseQueryInteger(null)).toBeUndefined();
});
