const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const ENCODE = Uint8Array.from(ALPHABET, (character) => character.charCodeAt(0));
const PADDING = 0x3d;

const DECODE = new Uint8Array(128);
for (const [value, code] of ENCODE.entries()) DECODE[code] = value;

const NOT_IN_ALPHABET = /[^A-Za-z0-9+/]/;
/** Last characters before `==` and `=` that leave no bit over; any other spelling would decode to the same bytes. */
const LAST_OF_ONE_BYTE = /[AQgw]$/;
const LAST_OF_TWO_BYTES = /[AEIMQUYcgkosw048]$/;

function paddingOf(text: string): number {
  if (text.endsWith('==')) return 2;
  return text.endsWith('=') ? 1 : 0;
}

/** True for standard padded base64 in the one spelling that encoding the bytes again would give. */
export function isCanonicalBase64(text: string): boolean {
  if (text.length % 4 !== 0) return false;
  const padding = paddingOf(text);
  const digits = padding === 0 ? text : text.slice(0, -padding);
  if (NOT_IN_ALPHABET.test(digits)) return false;
  if (padding === 0) return true;
  return (padding === 2 ? LAST_OF_ONE_BYTE : LAST_OF_TWO_BYTES).test(digits.slice(-1));
}

/** The bytes of a canonical base64 text, `null` for every other text. The empty text is no bytes. */
export function decodeBase64(text: string): Uint8Array | null {
  if (!isCanonicalBase64(text)) return null;
  const bytes = new Uint8Array((text.length / 4) * 3 - paddingOf(text));
  let at = 0;
  for (let index = 0; index < text.length; index += 4) {
    const group =
      (digit(text, index) << 18) | (digit(text, index + 1) << 12) | (digit(text, index + 2) << 6) | digit(text, index + 3);
    bytes[at] = group >> 16;
    bytes[at + 1] = (group >> 8) & 0xff;
    bytes[at + 2] = group & 0xff;
    at += 3;
  }
  return bytes;
}

/** Padding counts as zero bits; what it writes lies beyond the array and is dropped. */
function digit(text: string, index: number): number {
  return DECODE[text.charCodeAt(index)] ?? 0;
}

/** Standard padded base64. */
export function encodeBase64(bytes: Uint8Array): string {
  const codes = new Uint8Array(Math.ceil(bytes.length / 3) * 4);
  let at = 0;
  for (let index = 0; index < bytes.length; index += 3) {
    const group = (byte(bytes, index) << 16) | (byte(bytes, index + 1) << 8) | byte(bytes, index + 2);
    codes[at] = byte(ENCODE, group >> 18);
    codes[at + 1] = byte(ENCODE, (group >> 12) & 63);
    codes[at + 2] = index + 1 < bytes.length ? byte(ENCODE, (group >> 6) & 63) : PADDING;
    codes[at + 3] = index + 2 < bytes.length ? byte(ENCODE, group & 63) : PADDING;
    at += 4;
  }
  return new TextDecoder().decode(codes);
}

function byte(bytes: Uint8Array, index: number): number {
  return bytes[index] ?? 0;
}
