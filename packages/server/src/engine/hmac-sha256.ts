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

function fromHex(hex: string): Uint8Array {
  return Uint8Array.from({ length: hex.length / 2 }, (_, index) => Number.parseInt(hex.slice(index * 2, index * 2 + 2), 16));
}
