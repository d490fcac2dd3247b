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
  const merger = new PartMerger();
  for (const part of parts) {
    const full = merger.add(part);
    if (full !== undefined) yield full;
  }
  const rest = merger.take();
  if (rest !== undefined) yield rest;
}

/** The same bytes in fewer parts. */
export async function* mergeParts(parts: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const merger = new PartMerger();
  for await (const part of parts) {
    const full = merger.add(part);
    if (full !== undefined) yield full;
  }
  const rest = merger.take();
  if (rest !== undefined) yield rest;
}

class PartMerger {
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;

  /** Takes a part; returns those before it if they would become too large with it. */
  add(part: Uint8Array): Uint8Array | undefined {
    const full = this.#pendingBytes + part.byteLength > MERGED_BYTES_MAX ? this.take() : undefined;
    this.#pending.push(part);
    this.#pendingBytes += part.byteLength;
    return full;
  }

  take(): Uint8Array | undefined {
    if (this.#pendingBytes === 0) return undefined;
    const merged = mergeBytes(this.#pending, this.#pendingBytes);
    this.#pending = [];
    this.#pendingBytes = 0;
    return merged;
  }
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
