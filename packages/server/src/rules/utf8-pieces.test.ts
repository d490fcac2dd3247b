import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { encodeText, Utf8Pieces } from './utf8-pieces.ts';
import type { EncodedText } from './utf8-pieces.ts';

function join({ pieces }: EncodedText): string {
  return Buffer.concat(pieces).toString('utf8');
}

function encode(texts: readonly string[]): EncodedText {
  const pieces = new Utf8Pieces();
  for (const text of texts) pieces.append(text);
  return pieces.finish();
}

describe('Utf8Pieces', () => {
  it('gives the bytes of everything that was appended', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme' })), (texts) => {
        const encoded = encode(texts);
        expect(join(encoded)).toBe(texts.join(''));
        expect(encoded.byteLength).toBe(Buffer.byteLength(texts.join('')));
      }),
    );
  });

  it('cuts no character in two, wherever a piece ends', () => {
    for (const lead of ['', 'a', 'ab', 'abc', 'abcd']) {
      const text = lead + '\u{1F600}'.repeat(100_000) + 'é'.repeat(100_000);
      const encoded = encode([text]);
      expect(encoded.pieces.length).toBeGreaterThan(1);
      expect(encoded.pieces.every((piece) => !new TextDecoder().decode(piece).includes('\uFFFD'))).toBe(true);
      expect(join(encoded)).toBe(text);
      expect(encoded.byteLength).toBe(600_000 + lead.length);
    }
  });

  it('takes texts and bytes in turn', () => {
    const texts = fc.array(fc.tuple(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme', size: 'large' })));
    fc.assert(
      fc.property(texts, (pairs) => {
        const encoder = new Utf8Pieces();
        for (const [text, encoded] of pairs) {
          encoder.append(text);
          encoder.appendBytes(Buffer.from(encoded));
        }
        expect(join(encoder.finish())).toBe(pairs.flat().join(''));
      }),
    );
    const long = new Utf8Pieces();
    long.append('é');
    long.appendBytes(Buffer.from('x'.repeat(300_000)));
    expect(join(long.finish())).toBe(`é${'x'.repeat(300_000)}`);
  });

  it('gives no bytes for nothing', () => {
    expect(encode([])).toMatchObject({ byteLength: 0 });
    expect(join(encode(['', '']))).toBe('');
  });
});

describe('encodeText', () => {
  it('gives the bytes of a text', () => {
    expect(join(encodeText('é\u{1F600}'))).toBe('é\u{1F600}');
    expect(encodeText('é').byteLength).toBe(2);
  });
});
