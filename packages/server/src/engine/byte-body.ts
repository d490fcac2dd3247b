/** A response body that is ready to be sent piece by piece. */
export interface ByteBody {
  /** What the body will hold, as far as it is known; decides about compression. */
  readonly byteLength: number;
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Gives back what the body holds. Called exactly once, also when nothing of it was sent. */
  release(): void;
}

const encoder = new TextEncoder();

export function encodeText(text: string): Uint8Array {
  return encoder.encode(text);
}

/** A body that is completely in memory. */
export function createBufferedBody(parts: readonly Uint8Array[], release: () => void): ByteBody {
  let byteLength = 0;
  for (const part of parts) byteLength += part.byteLength;
  return { byteLength, chunks: yieldParts(parts), release };
}

/** Small parts travel together: a write per comma would cost more than the comma. */
const MERGED_BYTES_MAX = 64 * 1024;

async function* yieldParts(parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  let pending: Uint8Array[] = [];
  let pendingBytes = 0;
  for (const part of parts) {
    if (pendingBytes > 0 && pendingBytes + part.byteLength > MERGED_BYTES_MAX) {
      yield mergeBytes(pending, pendingBytes);
      pending = [];
      pendingBytes = 0;
    }
    pending.push(part);
    pendingBytes += part.byteLength;
  }
  if (pendingBytes > 0) yield mergeBytes(pending, pendingBytes);
}

function mergeBytes(parts: readonly Uint8Array[], byteCount: number): Uint8Array {
  const [first] = parts;
  if (parts.length === 1 && first !== undefined) return first;
  const merged = new Uint8Array(byteCount);
  let offset = 0;
  for (const part of parts) {
    merged.set(part, offset);
    offset += part.byteLength;
  }
  return merged;
}
