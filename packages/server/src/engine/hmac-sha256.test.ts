import { expect, test } from 'vitest';

import { createHmacSha256 } from './hmac-sha256.ts';

test('the HMAC is the one of RFC 4231', () => {
  const hmac = createHmacSha256(new Uint8Array(20).fill(0x0b));
  expect(hmac('Hi There')).toBe('b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7');
  const jefe = createHmacSha256(new TextEncoder().encode('Jefe'));
  expect(jefe('what do ya want for nothing?')).toBe('5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843');
});

test('the HMAC is the one of Web Crypto, for any text', async () => {
  const secret = crypto.getRandomValues(new Uint8Array(32));
  const key = await crypto.subtle.importKey('raw', secret, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  const hmac = createHmacSha256(secret);
  for (const text of ['', 'scope:1', 'é\u{1F600}', 'x'.repeat(1000)]) {
    const expected = Buffer.from(await crypto.subtle.sign('HMAC', key, new TextEncoder().encode(text))).toString('hex');
    expect(hmac(text)).toBe(expected);
  }
});
