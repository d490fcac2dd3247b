const encoder = new TextEncoder();

/** Room for one usual row: encoding it and forgetting the bytes is three times faster than looking at every character. */
const scratch = new Uint8Array(16 * 1024);

/** UTF-8 bytes that one UTF-16 unit takes at most. */
export const UTF8_BYTES_MAX = 3;

/** Units encoded at once. */
const UNITS_MAX = Math.floor(scratch.length / UTF8_BYTES_MAX);

/** Bytes of well-formed text in UTF-8. */
export function utf8Length(text: string): number {
  if (text.length <= UNITS_MAX) return encoder.encodeInto(text, scratch).written;
  let length = 0;
  for (let start = 0; start < text.length;) {
    const end = start + UNITS_MAX - (isHighSurrogate(text.charCodeAt(start + UNITS_MAX - 1)) ? 1 : 0);
    length += encoder.encodeInto(text.slice(start, end), scratch).written;
    start = end;
  }
  return length;
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit < 0xdc00;
}

/** True when the text takes more bytes in UTF-8. Most texts are so much shorter or longer that nothing has to be counted. */
export function isLongerThan(text: string, byteCount: number): boolean {
  if (text.length * UTF8_BYTES_MAX <= byteCount) return false;
  return text.length > byteCount || utf8Length(text) > byteCount;
}
