import { expect, it } from 'vitest';

import { isLongerThan, utf8Length } from './utf8-length.ts';

it.each([
  ['nothing', ''],
  ['ASCII', 'plain'],
  ['two, three and four bytes', 'é日😀'],
  ['a text longer than the scratch space', 'aé日😀'.repeat(5000)],
])('counts the UTF-8 bytes of %s', (_, text) => {
  expect(utf8Length(text)).toBe(new TextEncoder().encode(text).byteLength);
});

it('compares a text with a number of bytes', () => {
  const lengths = [0, 4, 5, 6, 7, 15, 100];
  expect(lengths.filter((byteCount) => isLongerThan('日é', byteCount))).toEqual([0, 4]);
  expect(lengths.filter((byteCount) => isLongerThan('plain', byteCount))).toEqual([0, 4]);
});
