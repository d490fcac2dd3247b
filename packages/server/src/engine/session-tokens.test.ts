import { isUuidToken } from '@oversync/protocol';
import { expect, test } from 'vitest';

import { createSessionTokens } from './session-tokens.ts';

const tokens = createSessionTokens(new Uint8Array(32).fill(7));

test('a token is a UUID of version 8 that its own scope recognises', () => {
  const token = tokens.issue('push', '42');
  expect(isUuidToken(token)).toBe(true);
  expect(token).toMatch(/^.{14}8.{4}[89ab]/);
  expect(tokens.check('push', token, '42')).toBe('own');
});

test('a token of another scope is forbidden, one of another kind or server was never issued', () => {
  const token = tokens.issue('push', '42');
  const others = createSessionTokens(new Uint8Array(32).fill(8));
  expect(tokens.check('push', token, '43')).toBe('forbidden');
  expect(tokens.check('snapshot', token, '42')).toBe('not_found');
  expect(others.check('push', token, '42')).toBe('not_found');
});

test('every changed digit makes an unknown token', () => {
  const token = tokens.issue('snapshot', '1');
  for (let index = 0; index < token.length; index += 1) {
    if (token[index] === '-') continue;
    const digit = token[index] === '0' ? '1' : '0';
    const changed = token.slice(0, index) + digit + token.slice(index + 1);
    expect(tokens.check('snapshot', changed, '1')).toBe('not_found');
  }
});

test.each(['', 'x', '6DF0D8DD-A84B-43B6-BBCA-8DE70432922A', '6df0d8dd-a84b-43b6-bbca-8de70432922a'])(
  '%s was never issued',
  (token) => {
    expect(tokens.check('push', token, '1')).toBe('not_found');
  },
);

test('tokens do not repeat', () => {
  const issued = Array.from({ length: 500 }, () => tokens.issue('push', '1'));
  expect(new Set(issued).size).toBe(500);
});
