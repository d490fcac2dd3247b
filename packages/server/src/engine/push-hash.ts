import type { Sha256, Sha256Factory } from '@oversync/protocol';

import { RUNNING_HASHES_MAX } from '../limits.ts';
import type { EncodedText } from '../rules/utf8-pieces.ts';
import type { SyncContext } from './context.ts';
import { createFastSha256 } from './platform-hash.ts';

interface RunningHash {
  readonly hash: Sha256;
  nextRowOrdinal: number;
  /** Present once it was asked for; no row can be added then. */
  digest?: string;
}

/**
 * Request hashes of the sessions that this process has staged itself, kept row by row while the chunks pass through, so that a
 * commit need not read the rows again. Only a help: a session that another process has staged a part of is simply not found.
 */
export class RunningHashes {
  readonly #createHash: Sha256Factory;
  readonly #byPush = new Map<string, RunningHash>();

  constructor(createHash: Sha256Factory) {
    this.#createHash = createHash;
  }

  /** Call after the chunk is committed, with its canonical rows in order. */
  addChunk(pushId: string, startRowOrdinal: number, joinedCanonicalTexts: EncodedText, rowCount: number): void {
    const running: RunningHash | undefined =
      startRowOrdinal === 0 ? { hash: this.#createHash(), nextRowOrdinal: 0 } : this.#byPush.get(pushId);
    this.#byPush.delete(pushId);
    if (running === undefined || running.nextRowOrdinal !== startRowOrdinal || running.digest !== undefined) return;
    running.hash.update(startRowOrdinal === 0 ? '[' : ',');
    for (const piece of joinedCanonicalTexts.pieces) running.hash.update(piece);
    running.nextRowOrdinal += rowCount;
    this.#byPush.set(pushId, running);
    if (this.#byPush.size > RUNNING_HASHES_MAX) this.#dropOldest();
  }

  /** The hash of all rows, if this process has seen each of them; it stays known for a repeated commit. */
  getDigest(pushId: string, rowCount: number): string | undefined {
    const running = this.#byPush.get(pushId);
    if (running?.nextRowOrdinal !== rowCount) return undefined;
    running.digest ??= finishHash(running.hash);
    return running.digest;
  }

  delete(pushId: string): void {
    this.#byPush.delete(pushId);
  }

  #dropOldest(): void {
    const oldest = this.#byPush.keys().next();
    if (oldest.done !== true) this.#byPush.delete(oldest.value);
  }
}

function finishHash(hash: Sha256): string {
  hash.update(']');
  return hash.digestHex();
}

const byServer = new WeakMap<object, RunningHashes>();

/** The running hashes of a server; the scope queue stands for the server, as each has exactly one. */
export function getRunningHashes(ctx: Pick<SyncContext, 'queue'>): RunningHashes {
  let hashes = byServer.get(ctx.queue);
  if (hashes === undefined) {
    hashes = new RunningHashes(createFastSha256);
    byServer.set(ctx.queue, hashes);
  }
  return hashes;
}

const LINE_FEED = 0x0a;
const COMMA = 0x2c;

/**
 * The hash of canonical rows that arrive one a line, cut anywhere. Canonical JSON never holds a line feed: with commas in their
 * place, but for the last, the rows are joined.
 */
export async function hashCanonicalLines(chunks: AsyncIterable<Uint8Array>, createHash: Sha256Factory): Promise<string> {
  const hash = createHash();
  hash.update('[');
  let owesComma = false;
  for await (const chunk of chunks) {
    if (chunk.length === 0) continue;
    if (owesComma) hash.update(',');
    owesComma = chunk.at(-1) === LINE_FEED;
    const bytes = chunk.map((byte) => (byte === LINE_FEED ? COMMA : byte));
    hash.update(owesComma ? bytes.subarray(0, -1) : bytes);
  }
  return finishHash(hash);
}
