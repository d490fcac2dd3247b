import type { BodyReader } from './body.ts';

/** A body that arrives in these pieces. */
export function bodyOf(...pieces: readonly string[]): BodyReader {
  const waiting = [...pieces];
  return {
    read: () => Promise.resolve(waiting.shift() ?? null),
    byteCount: 0,
    cancel: () => undefined,
  };
}

/** The same text cut after every `size` characters. */
export function bodyInPieces(text: string, size: number): BodyReader {
  const pieces: string[] = [];
  for (let at = 0; at < text.length; at += size) pieces.push(text.slice(at, at + size));
  return bodyOf(...pieces);
}
