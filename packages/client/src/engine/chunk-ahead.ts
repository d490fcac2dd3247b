import type { OpenReply } from '../http/exchange.ts';
import type { RowPages, SnapshotChunk } from '../http/snapshot-chunk.ts';
import { CHUNK_AHEAD_DIVISOR } from '../limits.ts';
import type { CheckedRow } from '../rules/incoming-row.ts';
import type { StageFileWriter } from '../store/stage-file-writer.ts';
import type { Call } from './engine.ts';
import { sendChunkRequest } from './snapshot-session.ts';
import type { ChunkSource } from './snapshot-session.ts';

/** A request that was sent before its turn. */
interface SentRequest {
  readonly afterRowOrdinal: number;
  readonly reply: Promise<OpenReply>;
  readonly limit: AbortController;
}

/** What a session holds in all. */
interface SessionSize {
  readonly rowCount: bigint;
  readonly byteCount: bigint;
}

/**
 * Hands the rows of a chunk to the stage file and asks for the next chunk when enough of this one has come, so that the server reads and
 * compresses while rows are stored. At most one request is ahead, and nobody reads its answer before its turn: what the connection holds
 * is all the memory it takes. Where the next chunk begins is a guess, which is right unless bytes end a chunk before its rows do; an
 * answer to a wrong guess is dropped. It is dropped as well when reading breaks off: the repeated request must find a place at the
 * server, which may have given its last one to the answer that waits.
 */
export class ChunkAhead implements RowPages {
  readonly rowsMax: number;
  readonly #call: Call;
  readonly #source: ChunkSource;
  readonly #writer: StageFileWriter;
  readonly #sessionRowCount: bigint;
  /** Chunks are as many rows as were asked for, as far as one can tell. */
  #areFull: boolean;
  #afterRowOrdinal = 0;
  #rowsTaken = 0;
  #sent: SentRequest | null = null;

  constructor(call: Call, source: ChunkSource, session: SessionSize, writer: StageFileWriter) {
    const { rows, bytes } = source.capabilities.snapshotChunk;
    this.rowsMax = writer.rowsMax;
    this.#call = call;
    this.#source = source;
    this.#writer = writer;
    this.#sessionRowCount = session.rowCount;
    this.#areFull = session.byteCount * BigInt(rows) <= session.rowCount * BigInt(bytes);
  }

  /** The turn of a chunk has come: its request, if it has been sent. */
  startChunk(afterRowOrdinal: number): Promise<OpenReply> | undefined {
    this.#afterRowOrdinal = afterRowOrdinal;
    const sent = this.#sent;
    if (sent?.afterRowOrdinal === afterRowOrdinal) {
      this.#sent = null;
      return sent.reply;
    }
    this.drop();
    return undefined;
  }

  /** An attempt to read the chunk. */
  begin(): Promise<void> {
    this.#rowsTaken = 0;
    return this.#writer.begin();
  }

  take(rows: readonly CheckedRow[]): Promise<void> {
    this.#rowsTaken += rows.length;
    if (this.#sent === null && this.#rowsTaken * CHUNK_AHEAD_DIVISOR >= this.#chunkRows) this.#sendNext();
    return this.#writer.take(rows);
  }

  /** Such an attempt has failed. */
  breakOff(): void {
    this.drop();
  }

  /** The last rows of a chunk that is what it has to be. */
  endChunk({ rowCount, rows }: SnapshotChunk): Promise<void> {
    this.#areFull = rowCount === this.#chunkRows;
    return this.#writer.endChunk(rows);
  }

  /** Nobody will read what was asked for. */
  drop(): void {
    this.#sent?.limit.abort();
    this.#sent = null;
  }

  get #chunkRows(): number {
    return this.#source.capabilities.snapshotChunk.rows;
  }

  #sendNext(): void {
    const afterRowOrdinal = this.#afterRowOrdinal + this.#chunkRows;
    if (!this.#areFull || BigInt(afterRowOrdinal) >= this.#sessionRowCount) return;
    const limit = new AbortController();
    const call = { ...this.#call, signal: AbortSignal.any([this.#call.signal, limit.signal]) };
    const reply = sendChunkRequest(call, this.#source, afterRowOrdinal);
    // A failure is seen when its turn comes, which may be never.
    reply.catch(() => undefined);
    this.#sent = { afterRowOrdinal, reply, limit };
  }
}
