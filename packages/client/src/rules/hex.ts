const HEX = /^(?:[0-9a-f]{2})*$/;
const UUID_HEX = /^[0-9a-f]{32}$/;

/** The bytes of a lower-case hexadecimal text as SQLite's `lower(hex(x))` writes it, `null` for any other text. */
export function bytesFromHex(hex: string): Uint8Array<ArrayBuffer> | null {
  if (!HEX.test(hex)) return null;
  const bytes = new Uint8Array(hex.length / 2);
  for (let index = 0; index < bytes.length; index += 1) bytes[index] = Number.parseInt(hex.slice(index * 2, index * 2 + 2), 16);
  return bytes;
}

/** Two lower-case digits per byte. */
export function hexFromBytes(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += DIGITS[byte] ?? '';
  return text;
}

const DIGITS: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** 32 digits as a dashed UUID, `null` for any other text. */
export function uuidFromHex(hex: string): string | null {
  if (!UUID_HEX.test(hex)) return null;
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** A dashed UUID as 32 digits. */
export function hexFromUuid(uuid: string): string {
  return uuid.replaceAll('-', '');
}
