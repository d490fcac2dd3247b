import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeBase64, encodeBase64, isCanonicalBase64 } from '../index.ts';

describe('base64', () => {
  it('equals the platform codec and reads back', () => {
    const property = fc.property(fc.uint8Array({ maxLength: 70 }), (bytes) => {
      const text = encodeBase64(bytes);
      expect(text).toBe(Buffer.from(bytes).toString('base64'));
      expect(decodeBase64(text)).toEqual(bytes);
    });
    fc.assert(property, { numRuns: 2000 });
    expect(encodeBase64(new Uint8Array(100_001)).length).toBe(133_336);
  });

  it('accepts exactly the texts that encoding gives again', () => {
    const character = fc.constantFrom(...'ABQgwx/+=-_ \n9é'.split(''));
    const property = fc.property(fc.string({ unit: character, maxLength: 9 }), (text) => {
      const isFixedPoint = Buffer.from(text, 'base64').toString('base64') === text;
      expect(isCanonicalBase64(text)).toBe(isFixedPoint);
      expect(decodeBase64(text) === null).toBe(!isFixedPoint);
    });
    fc.assert(property, { numRuns: 20_000 });
  });

  it('refuses leftover bits, missing padding, line breaks and the URL alphabet', () => {
    for (const text of ['AB==', 'AAB=', 'AA', 'AAA', 'AAAA=', '====', 'A===', 'AA\n==', 'AA-_', 'AAAA\n']) {
      expect(decodeBase64(text), text).toBeNull();
    }
    expect(decodeBase64('')).toEqual(new Uint8Array(0));
  });
});
