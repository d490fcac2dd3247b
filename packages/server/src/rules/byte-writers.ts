import { readControlCode } from './byte-values.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const ZERO = 0x30;
const DASH = 0x2d;

/** A call into the engine costs more than a loop over fewer bytes. */
const LOOPED_BYTES_MAX = 64;

/** Copies `source` from `start` to `end`; returns the place behind the copy. */
export function copyBytes(source: Uint8Array, start: number, end: number, target: Uint8Array, at: number): number {
  const length = end - start;
  if (length > LOOPED_BYTES_MAX) target.set(source.subarray(start, end), at);
  else for (let offset = 0; offset < length; offset += 1) target[at + offset] = source[start + offset] ?? 0;
  return at + length;
}

/** Writes a whole number from 0 up in decimal digits; returns the place behind it. */
export function writeDecimal(value: number, target: Uint8Array, at: number): number {
  let digits = 1;
  for (let limit = 10; value >= limit; limit *= 10) digits += 1;
  let rest = value;
  for (let place = at + digits - 1; place >= at; place -= 1) {
    target[place] = ZERO + (rest % 10);
    rest = Math.floor(rest / 10);
  }
  return at + digits;
}

/** Writes the 16 bytes of the dashed lower-case UUID that begins at `start`; returns the place behind them. */
export function writeUuid(source: Uint8Array, start: number, target: Uint8Array, at: number): number {
  let from = start;
  for (let place = at; place < at + 16; place += 1) {
    if (source[from] === DASH) from += 1;
    target[place] = (hexDigit(source[from] ?? 0) << 4) | hexDigit(source[from + 1] ?? 0);
    from += 2;
  }
  return at + 16;
}

function hexDigit(byte: number): number {
  return byte > 0x39 ? byte - 0x57 : byte - ZERO;
}

/** Characters by the letter of their escape. */
const ESCAPES: ReadonlyMap<number, number> = new Map([
  [0x62, 0x08],
  [0x66, 0x0c],
  [0x6e, 0x0a],
  [0x72, 0x0d],
  [0x74, 0x09],
]);

/**
 * Writes a canonical JSON text without its escapes, quotes and backslashes doubled as a row literal wants them; returns the place behind
 * it. Never longer than what was read.
 */
export function writeUnescaped(source: Uint8Array, start: number, end: number, target: Uint8Array, place: number): number {
  let at = place;
  for (let from = start; from < end; from += 1) {
    const byte = source[from] ?? 0;
    if (byte !== BACKSLASH) {
      target[at] = byte;
      at += 1;
      continue;
    }
    from += 1;
    const letter = source[from] ?? 0;
    if (letter === QUOTE || letter === BACKSLASH) {
      target[at] = letter;
      target[at + 1] = letter;
      at += 2;
    } else {
      const escaped = ESCAPES.get(letter);
      target[at] = escaped ?? readControlCode(source, from + 1);
      at += 1;
      if (escaped === undefined) from += 4;
    }
  }
  return at;
}
