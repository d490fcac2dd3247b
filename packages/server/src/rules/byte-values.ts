/**
 * Judges of values in the bytes of a request. Each of them accepts only what the exact check of the same family accepts without a change;
 * what one of them does not recognise may still be right.
 */

const MINUS = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;

/** Decimal digits that a binary64 always gives back. */
const FLOAT_DIGITS_MAX = 15;

/** Zeros behind the point beyond which a small number is written with an exponent. */
const FLOAT_ZEROS_MAX = 5;

/** The first place behind `start` that holds no digit. */
function skipDigits(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  for (; at < end; at += 1) {
    const byte = bytes[at] ?? 0;
    if (byte < ZERO || byte > NINE) break;
  }
  return at;
}

/** Behind the digits of an integer part without needless zeros; `start` where there is none. */
function skipInteger(bytes: Uint8Array, start: number, end: number): number {
  return bytes[start] === ZERO && start < end ? start + 1 : skipDigits(bytes, start, end);
}

/** An integer of at most `digitsMax` digits. */
export function isPlainInteger(bytes: Uint8Array, start: number, end: number, digitsMax: number): boolean {
  const first = bytes[start] === MINUS ? start + 1 : start;
  const digitsEnd = skipInteger(bytes, first, end);
  const isNegativeZero = first > start && bytes[first] === ZERO;
  return digitsEnd === end && end > first && end - first <= digitsMax && !isNegativeZero;
}

/** A decimal number without exponent, and not between -1 and 0. */
export function isPlainDecimal(bytes: Uint8Array, start: number, end: number): boolean {
  const first = bytes[start] === MINUS ? start + 1 : start;
  if (first > start && bytes[first] === ZERO) return false;
  const integerEnd = skipInteger(bytes, first, end);
  if (integerEnd === first) return false;
  if (integerEnd === end) return true;
  return bytes[integerEnd] === DOT && integerEnd + 1 < end && skipDigits(bytes, integerEnd + 1, end) === end;
}

/** A number of so few digits that it is the shortest text of its binary64 value, written as the canonical form writes it. */
export function isPlainFloat(bytes: Uint8Array, start: number, end: number): boolean {
  const first = bytes[start] === MINUS ? start + 1 : start;
  const integerEnd = skipInteger(bytes, first, end);
  if (integerEnd === first || end - first > FLOAT_DIGITS_MAX) return false;
  const isBelowOne = bytes[first] === ZERO;
  if (integerEnd === end) return !isBelowOne || first === start;
  if (bytes[integerEnd] !== DOT || bytes[end - 1] === ZERO || integerEnd + 1 === end) return false;
  if (skipDigits(bytes, integerEnd + 1, end) !== end) return false;
  return !isBelowOne || hasFewZeros(bytes, integerEnd + 1);
}

/** The digits end with another one than zero. */
function hasFewZeros(bytes: Uint8Array, start: number): boolean {
  let at = start;
  while (bytes[at] === ZERO) at += 1;
  return at - start <= FLOAT_ZEROS_MAX;
}

const UUID_LENGTH = 36;

/** A lower-case dashed UUID. */
export function isPlainUuid(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start !== UUID_LENGTH) return false;
  for (let offset = 0; offset < UUID_LENGTH; offset += 1) {
    const byte = bytes[start + offset] ?? 0;
    const isDash = offset === 8 || offset === 13 || offset === 18 || offset === 23;
    const isRight = isDash ? byte === MINUS : (byte >= ZERO && byte <= NINE) || (byte >= 0x61 && byte <= 0x66);
    if (!isRight) return false;
  }
  return true;
}

/** Holds a visible ASCII character, so that nobody takes it for blank. */
export function isVisible(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at += 1) {
    const byte = bytes[at] ?? 0;
    if (byte > 0x20 && byte < 0x7f) return true;
  }
  return false;
}

/** Behind the escape at `at` if canonical JSON writes it so; -1 for any other, and for U+0000. */
export function skipCanonicalEscape(bytes: Uint8Array, at: number): number {
  switch (bytes[at + 1]) {
    case 0x22:
    case 0x5c:
    case 0x62:
    case 0x66:
    case 0x6e:
    case 0x72:
    case 0x74:
      return at + 2;
    case 0x75:
      return isControlEscape(bytes, at + 2) ? at + 6 : -1;
    default:
      return -1;
  }
}

/** Four hexadecimal digits of a control character that has no shorter escape. */
function isControlEscape(bytes: Uint8Array, start: number): boolean {
  if (bytes[start] !== ZERO || bytes[start + 1] !== ZERO) return false;
  const code = readControlCode(bytes, start);
  return code > 0 && code < 0x20 && code !== 8 && code !== 9 && code !== 10 && code !== 12 && code !== 13;
}

/** The value of the last two of four hexadecimal digits; -1 unless they are lower-case ones below 0x20. */
export function readControlCode(bytes: Uint8Array, start: number): number {
  const high = (bytes[start + 2] ?? 0) - ZERO;
  const low = bytes[start + 3] ?? 0;
  const digit = low >= ZERO && low <= NINE ? low - ZERO : low >= 0x61 && low <= 0x66 ? low - 0x57 : -1;
  return (high === 0 || high === 1) && digit >= 0 ? high * 16 + digit : -1;
}
