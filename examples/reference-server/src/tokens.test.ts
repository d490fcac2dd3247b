import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { createTokens, TOKEN_LIFE_SECONDS } from './tokens.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test('a token counts until it expires, however often it was verified before', async () => {
  const tokens = createTokens('secret of a test, long enough for it');
  const header = `Bearer ${await tokens.sign('ada')}`;
  expect(await tokens.verify(header)).toBe('ada');
  vi.advanceTimersByTime(TOKEN_LIFE_SECONDS * 1000 - 1000);
  expect(await tokens.verify(header)).toBe('ada');
  vi.advanceTimersByTime(1000);
  expect(await tokens.verify(header)).toBeNull();
});

test('neither a token under another secret nor one that was changed is taken for a remembered one', async () => {
  const tokens = createTokens('secret of a test, long enough for it');
  const token = await tokens.sign('ada');
  expect(await tokens.verify(`Bearer ${token}`)).toBe('ada');
  const foreign = await createTokens('another secret, as long as that one').sign('ada');
  const changed = `${token.slice(0, -2)}${token.endsWith('AA') ? 'BB' : 'AA'}`;
  for (const refused of [foreign, changed, `${token} `, token.toUpperCase()]) {
    expect(await tokens.verify(`Bearer ${refused}`)).toBeNull();
  }
  expect(await tokens.verify(null)).toBeNull();
});
