import { SyncError, parsePushChunkReply } from '@oversync/protocol';
import type { PushChunkReply } from '@oversync/protocol';

import { encodeText, nextTurn } from '../http/exchange.ts';
import type { OpenReply } from '../http/exchange.ts';
import { readJsonBody } from '../http/request-reply.ts';
import type { Reply } from '../http/request-reply.ts';
import { encodedChunkRequest, pushChunkText } from '../http/requests.ts';
import type { RequestSpec } from '../http/requests.ts';
import { CHUNKS_AHEAD_MISSES_MAX } from '../limits.ts';
import { checkChunkReply } from '../rules/push-checks.ts';
import { loadOutboxChunk } from '../store/outbox.ts';
import { emitProgress } from './engine.ts';
import { reactToRefusal } from './push-refusal.ts';
import type { OpenSession, StepOutcome, Upload } from './push-refusal.ts';
import { askServer, sendAhead } from './server-requests.ts';
import type { ServerRequest } from './server-requests.ts';

/** A chunk as it goes out. */
interface OutgoingChunk {
  /** Ordinal after its last row. */
  readonly nextOrdinal: number;
  readonly spec: (pushId: string) => RequestSpec;
  /** Its request, where it was sent before the answer to the chunk before it had come. */
  readonly sent?: Promise<OpenReply>;
}

/**
 * The chunks of a frozen bundle, in order. One is read and encoded while requests are under way, and where the server lets a chunk wait for
 * the one before it, it is sent before that one is answered. Whatever becomes of it is seen when its turn comes: a chunk that came too early
 * is sent again.
 */
export class ChunkUpload {
  readonly #upload: Upload;
  readonly #limit = new AbortController();
  /** What is sent next. */
  #coming: Promise<OutgoingChunk | null>;

  /** Begins to read the first chunk, while a session is still asked for. */
  constructor(upload: Upload, ordinal: number) {
    this.#upload = upload;
    const isLarge = upload.outbox.rowCount > chunkBounds(upload).rowsMax;
    this.#coming = isLarge ? this.#encodeLater(ordinal) : this.#encode(ordinal);
    this.#coming.catch(() => undefined);
    // Two misses in a row end it for a push; the next one tries once more.
    const { memory } = upload.call.engine;
    memory.chunksAheadMissed = Math.min(memory.chunksAheadMissed, CHUNKS_AHEAD_MISSES_MAX - 1);
  }

  /** Uploads what the session does not hold yet. */
  async run({ pushId, nextOrdinal }: OpenSession): Promise<StepOutcome<null>> {
    this.#report(nextOrdinal);
    let chunk = await this.#take();
    while (chunk !== null) {
      const answer = this.#exchange(pushId, chunk);
      const next = this.#takeAhead(pushId);
      next.catch(() => undefined);
      const step = await answer;
      if (step.kind !== 'next') return step;
      this.#report(chunk.nextOrdinal);
      chunk = await next;
    }
    return { kind: 'next', value: null };
  }

  /** Gives up what nobody waits for, and waits until nothing is read any more. */
  async settle(): Promise<void> {
    this.#limit.abort();
    await this.#coming.catch(() => undefined);
  }

  /** The next chunk; the one after it is encoded from now on. */
  async #take(): Promise<OutgoingChunk | null> {
    const chunk = await this.#coming;
    const isLast = chunk === null || chunk.nextOrdinal >= this.#upload.outbox.rowCount;
    this.#coming = isLast ? Promise.resolve(null) : this.#encodeLater(chunk.nextOrdinal);
    return chunk;
  }

  async #takeAhead(pushId: string): Promise<OutgoingChunk | null> {
    const chunk = await this.#take();
    const { call, capabilities } = this.#upload;
    const isWelcome =
      capabilities.features.has('push_chunks_ahead') && call.engine.memory.chunksAheadMissed < CHUNKS_AHEAD_MISSES_MAX;
    if (chunk === null || !isWelcome) return chunk;
    const signal = AbortSignal.any([call.signal, this.#limit.signal]);
    const sent = sendAhead({ ...call, signal }, chunk.spec(pushId), this.#request);
    sent.catch(() => undefined);
    return { ...chunk, sent };
  }

  #encodeLater(ordinal: number): Promise<OutgoingChunk | null> {
    // A synchronous driver would keep the requests before from leaving.
    const chunk = nextTurn().then(() => (this.#limit.signal.aborted ? null : this.#encode(ordinal)));
    // Seen when its turn comes, which may be never.
    chunk.catch(() => undefined);
    return chunk;
  }

  /** `null` where the session holds all rows. */
  async #encode(ordinal: number): Promise<OutgoingChunk | null> {
    const { call, capabilities, outbox } = this.#upload;
    if (ordinal >= outbox.rowCount) return null;
    const { rowsText, nextOrdinal } = await loadOutboxChunk(call.engine.driver, ordinal, chunkBounds(this.#upload));
    if (nextOrdinal === ordinal) throw new SyncError('outbox_corrupt', { details: { rule: 'row_count' } });
    const acceptsGzip = capabilities.features.has('gzip_request_bodies');
    const body = await encodeText(call.engine.http, pushChunkText(ordinal, rowsText), acceptsGzip);
    return { nextOrdinal, spec: (pushId) => encodedChunkRequest(pushId, body) };
  }

  async #exchange(pushId: string, chunk: OutgoingChunk): Promise<StepOutcome<null>> {
    const reply = await this.#ask(pushId, chunk);
    if (reply.kind === 'ok') {
      checkChunkReply(pushId, chunk.nextOrdinal, reply.value);
      return { kind: 'next', value: null };
    }
    // A server that knows a chunk again would have said so.
    const isForgetful = !this.#upload.capabilities.features.has('idempotent_push_chunks');
    const hadArrived = isForgetful && reply.attempts > 1 && isOutOfOrder(reply);
    return hadArrived ? { kind: 'next', value: null } : reactToRefusal(this.#upload, 'chunk', reply.refusal);
  }

  async #ask(pushId: string, chunk: OutgoingChunk): Promise<Reply<PushChunkReply>> {
    const { call } = this.#upload;
    const read = (sent?: Promise<OpenReply>): Promise<Reply<PushChunkReply>> =>
      askServer(call, chunk.spec(pushId), { ...this.#request, ...(sent === undefined ? {} : { sent }) }, async (body) =>
        parsePushChunkReply(await readJsonBody(body)),
      );
    if (chunk.sent === undefined) return read();
    const reply = await read(chunk.sent);
    const isMiss = isOutOfOrder(reply) && reply.attempts === 1;
    call.engine.memory.chunksAheadMissed = isMiss ? call.engine.memory.chunksAheadMissed + 1 : 0;
    return isMiss ? read() : reply;
  }

  get #request(): ServerRequest {
    return { sourceId: this.#upload.outbox.sourceId, capabilities: this.#upload.capabilities };
  }

  #report(rowsDone: number): void {
    const { call, initializationId, outbox } = this.#upload;
    emitProgress(call, initializationId === '' ? 'pushing' : 'seeding', { rowsDone, rowsTotal: outbox.rowCount });
  }
}

function isOutOfOrder(reply: Reply<PushChunkReply>): boolean {
  return reply.kind === 'refused' && reply.refusal.serverCode === 'push_chunk_out_of_order';
}

function chunkBounds({ call, capabilities }: Upload): { readonly rowsMax: number; readonly bytesMax: number } {
  const { uploadLimit, uploadChunkBytes } = call.engine.options;
  const { maxRowsPerPushChunk, maxBytesPerPushChunk } = capabilities.limits;
  return {
    rowsMax: Math.min(uploadLimit, maxRowsPerPushChunk ?? uploadLimit),
    bytesMax: Math.min(uploadChunkBytes, maxBytesPerPushChunk ?? uploadChunkBytes),
  };
}
