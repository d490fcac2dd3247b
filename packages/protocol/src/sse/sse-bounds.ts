import { LIMITS } from '../limits.ts';

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const DATA_PREFIX = [0x64, 0x61, 0x74, 0x61, 0x3a];

/** Which bound of a stream was passed. */
export type SseFault = 'line_too_long' | 'event_too_long';

/**
 * Counts the bytes of lines and of the data of events, before any of them is decoded or kept.
 *
 * A parser that buffers can only say how much it holds; a long line that arrives in one piece, or a long comment,
 * never shows there.
 */
export class SseBounds {
  #lineBytes = 0;
  /** First bytes of the line: enough to know a `data:` field and the space after it. */
  #lineStart: number[] = [];
  #eventBytes = 0;
  #dataLines = 0;
  #endedWithCr = false;

  /** The first bound that these bytes pass; `undefined` while all is well. */
  check(bytes: Uint8Array): SseFault | undefined {
    for (const byte of bytes) {
      const isSecondHalf = byte === LF && this.#endedWithCr;
      this.#endedWithCr = byte === CR;
      if (isSecondHalf) continue;
      const fault = byte === LF || byte === CR ? this.#endLine() : this.#addByte(byte);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }

  #addByte(byte: number): SseFault | undefined {
    if (this.#lineBytes <= DATA_PREFIX.length) this.#lineStart.push(byte);
    this.#lineBytes += 1;
    return this.#lineBytes > LIMITS.sseLineBytesMax ? 'line_too_long' : undefined;
  }

  #endLine(): SseFault | undefined {
    if (this.#lineBytes === 0) {
      this.#eventBytes = 0;
      this.#dataLines = 0;
    } else if (DATA_PREFIX.every((byte, index) => this.#lineStart[index] === byte)) {
      const prefix = this.#lineStart[DATA_PREFIX.length] === SPACE ? DATA_PREFIX.length + 1 : DATA_PREFIX.length;
      // Lines of one event are joined with a line feed.
      this.#eventBytes += this.#lineBytes - prefix + (this.#dataLines > 0 ? 1 : 0);
      this.#dataLines += 1;
    }
    this.#lineBytes = 0;
    this.#lineStart = [];
    return this.#eventBytes > LIMITS.sseEventBytesMax ? 'event_too_long' : undefined;
  }
}
