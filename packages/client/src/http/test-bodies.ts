import { utf8Length } from '../rules/utf8-length.ts';
import type { BodyReader } from './body.ts';

/** A body that arrives in these pieces. */
export function bodyOf(...pieces: readonly string[]): BodyReader {
  const waiting = [...pieces];
  let byteCount = 0;
  return {
    read: () => {
      const piece = waiting.shift() ?? null;
      byteCount += utf8Length(piece ?? '');
      return Promise.resolve(piece);
    },
    get byteCount() {
      return byteCount;
    },
    cancel: () => undefined,
  };
}

/** The same text cut after every `size` characters, but never inside one: no decoder gives out half of a pair. */
export function bodyInPieces(text: string, size: number): BodyReader {
  const pieces: string[] = [];
  for (let at = 0; at < text.length;) {
    const code = text.charCodeAt(at + size - 1);
    const end = at + size + (code >= 0xd800 && code < 0xdc00 ? 1 : 0);
    pieces.push(text.slice(at, end));
    at = end;
  }
  return bodyOf(...pieces);
}
