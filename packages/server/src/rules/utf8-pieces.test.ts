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

  it('hands full pieces over while more comes', () => {
    const encoder = new Utf8Pieces();
    const taken: Uint8Array[] = [];
    for (let part = 0; part < 30; part += 1) {
      encoder.append('é'.repeat(10_000));
      taken.push(...encoder.takeFull());
    }
    expect(taken.length).toBeGreaterThan(3);
    const { pieces, byteLength } = encoder.finish();
    expect(byteLength).toBe(600_000);
    expect(Buffer.concat([...taken, ...pieces]).toString('utf8')).toBe('é'.repeat(300_000));
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
