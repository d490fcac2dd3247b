import { sha256 } from '@noble/hashes/sha2.js';

/** An incremental SHA-256. */
export interface Sha256 {
  /** Appends bytes, or the UTF-8 form of a well-formed text. The bytes are only lent: they change after the call. */
  update(data: string | Uint8Array): void;
  /** 64 lower-case hexadecimal digits. The hash is used up by this call. */
  digestHex(): string;
}

/** Makes one hash; hosts pass their platform's faster one (for example `createHash` of Node). */
export type Sha256Factory = () => Sha256;

/** Longest piece of text that is encoded at once, in UTF-16 units: a large text needs no second copy of itself. */
const PIECE_LENGTH = 65_536;

/** Calls `use` with the UTF-8 bytes of a text, piece by piece, never cutting a surrogate pair. */
function encodePieces(text: string, use: (bytes: Uint8Array) => void): void {
  const encoder = new TextEncoder();
  let start = 0;
  while (text.length - start > PIECE_LENGTH) {
    const last = text.charCodeAt(start + PIECE_LENGTH - 1);
    const length = last >= 0xd800 && last <= 0xdbff ? PIECE_LENGTH - 1 : PIECE_LENGTH;
    use(encoder.encode(text.slice(start, start + length)));
    start += length;
  }
  if (start < text.length) use(encoder.encode(text.slice(start)));
}

function toHex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0');
  return text;
}

/** SHA-256 in plain JavaScript: runs wherever the library does, synchronously and incrementally. */
export const createSha256: Sha256Factory = () => {
  const hash = sha256.create();
  return {
    update(data) {
      if (typeof data === 'string') encodePieces(data, (bytes) => hash.update(bytes));
      else hash.update(data);
    },
    digestHex: () => toHex(hash.digest()),
  };
};
