const encoder = new TextEncoder();

/** Room for one usual row: encoding it and forgetting the bytes is three times faster than looking at every character. */
const scratch = new Uint8Array(16 * 1024);

/** UTF-8 bytes that one UTF-16 unit takes at most. */
const BYTES_PER_UNIT_MAX = 3;

/** Bytes of well-formed text in UTF-8. */
export function utf8Length(text: string): number {
  if (text.length * BYTES_PER_UNIT_MAX <= scratch.length) return encoder.encodeInto(text, scratch).written;
  let length = text.length;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code > 0x7ff && (code < 0xd800 || code > 0xdfff)) length += 2;
    else if (code > 0x7f) length += 1;
  }
  return length;
}

/** True when the text takes more bytes in UTF-8. Most texts are so much shorter or longer that nothing has to be counted. */
export function isLongerThan(text: string, byteCount: number): boolean {
  if (text.length * BYTES_PER_UNIT_MAX <= byteCount) return false;
  return text.length > byteCount || utf8Length(text) > byteCount;
}
