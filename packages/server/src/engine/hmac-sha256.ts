import { createFastSha256 } from './platform-hash.ts';

/** Bytes that SHA-256 takes at a time; keys are padded to it. */
const BLOCK_BYTES = 64;

/**
 * HMAC-SHA-256 (RFC 2104) of texts under one key of at most 64 bytes, as hexadecimal digits. Synchronous, because Web Crypto hands
 * every call to another thread, which takes a hundred times as long for texts this short.
 */
export function createHmacSha256(key: Uint8Array): (text: string) => string {
  if (key.length > BLOCK_BYTES) throw new RangeError('a key longer than a block would have to be hashed first');
  const [innerKey, outerKey] = [pad(key, 0x36), pad(key, 0x5c)];
  return (text) => {
    const inner = createFastSha256();
    inner.update(innerKey);
    inner.update(text);
    const outer = createFastSha256();
    outer.update(outerKey);
    outer.update(fromHex(inner.digestHex()));
    return outer.digestHex();
  };
}

function pad(key: Uint8Array, mask: number): Uint8Array {
  return Uint8Array.from({ length: BLOCK_BYTES }, (_, index) => (key[index] ?? 0) ^ mask);
}

/** A loop over digits: short texts are signed several times for each small push, and `Uint8Array.from` alone would take longer than hashing. */
function fromHex(hex: string): Uint8Array {
  const bytes = new Uint8Array(hex.length / 2);
  for (let index = 0; index < bytes.length; index += 1) {
    bytes[index] = (readDigit(hex, index * 2) << 4) | readDigit(hex, index * 2 + 1);
  }
  return bytes;
}

/** Lower case, as hashes are written here. */
function readDigit(hex: string, at: number): number {
  const code = hex.charCodeAt(at);
  return code < LETTER_A ? code - ZERO : code - LETTER_A + 10;
}

const [ZERO, LETTER_A] = [48, 97];
