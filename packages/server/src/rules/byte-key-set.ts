/** Looks at so many slots before a set gives up: keys that were chosen to meet in one place must not cost more. */
const PROBES_MAX = 64;

const NUMBERS_PER_KEY = 3;

/** Another order of slots in every process. */
const SEED = crypto.getRandomValues(new Int32Array(1))[0] ?? 0;

/** The keys of a chunk as places in its bytes, so that none of them has to become a string. */
export class ByteKeySet {
  readonly #bytes: Uint8Array;
  /** Number of a key counted from 1, or 0 where a slot is free. */
  readonly #slots: Int32Array;
  readonly #mask: number;
  /** Start, end and table of each key. */
  readonly #keys: Int32Array;
  #count = 0;

  constructor(bytes: Uint8Array, keysMax: number) {
    this.#bytes = bytes;
    this.#keys = new Int32Array(keysMax * NUMBERS_PER_KEY);
    this.#mask = 2 ** Math.ceil(Math.log2(keysMax * 2 + 2)) - 1;
    this.#slots = new Int32Array(this.#mask + 1);
  }

  /** Takes a key in; false when it is there already, and when there is no telling within reason. */
  add(tableId: number, start: number, end: number): boolean {
    const keys = this.#keys;
    const base = this.#count * NUMBERS_PER_KEY;
    if (base >= keys.length) return false;
    let slot = this.#hash(tableId, start, end) & this.#mask;
    for (let probe = 0; probe < PROBES_MAX; probe += 1) {
      const number = this.#slots[slot] ?? 0;
      if (number === 0) {
        keys[base] = start;
        keys[base + 1] = end;
        keys[base + 2] = tableId;
        this.#count += 1;
        this.#slots[slot] = this.#count;
        return true;
      }
      if (this.#isEqual((number - 1) * NUMBERS_PER_KEY, tableId, start, end)) return false;
      slot = (slot + 1) & this.#mask;
    }
    return false;
  }

  /** FNV-1a. */
  #hash(tableId: number, start: number, end: number): number {
    const bytes = this.#bytes;
    let hash = SEED ^ tableId;
    for (let at = start; at < end; at += 1) hash = Math.imul(hash ^ (bytes[at] ?? 0), 0x0100_0193);
    return hash ^ (hash >>> 15);
  }

  #isEqual(base: number, tableId: number, start: number, end: number): boolean {
    const bytes = this.#bytes;
    const keys = this.#keys;
    const other = keys[base] ?? 0;
    if (keys[base + 2] !== tableId || (keys[base + 1] ?? 0) - other !== end - start) return false;
    for (let offset = end - start - 1; offset >= 0; offset -= 1)
      if (bytes[other + offset] !== bytes[start + offset]) return false;
    return true;
  }
}
