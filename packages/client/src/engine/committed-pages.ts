import { SyncError } from '@oversync/protocol';

import type { BodyReader } from '../http/body.ts';
import { readCommittedPage } from '../http/committed-page.ts';
import type { CommittedPage } from '../http/committed-page.ts';
import { sleep } from '../http/exchange.ts';
import type { OpenReply } from '../http/exchange.ts';
import { committedRowsRequest } from '../http/requests.ts';
import type { RequestSpec } from '../http/requests.ts';
import {
  COMMITTED_ROWS_ATTEMPTS_MAX,
  COMMITTED_ROWS_BACKOFF_MAX_MS,
  COMMITTED_ROWS_BACKOFF_MS,
  ROW_TEXT_BYTES_MAX,
} from '../limits.ts';
import type { ServerCapabilities } from '../rules/negotiation.ts';
import { doublingDelayMs } from '../rules/retry.ts';
import type { Outbox } from '../store/client-state.ts';
import type { Call } from './engine.ts';
import { askServer, refusalError, sendAhead } from './server-requests.ts';
import type { ServerRequest } from './server-requests.ts';
import { loseCheckpoint } from './transitions.ts';

type Committed = Extract<Outbox, { readonly state: 'committed_remote' }>;

/** A request that was sent before its turn. */
interface SentRequest {
  readonly rowsBefore: number;
  readonly reply: Promise<OpenReply>;
  readonly limit: AbortController;
}

/**
 * The pages of a committed bundle, in order. While one is verified the next is read, and when the answer of that one begins, the request
 * for the one after it is sent; nobody reads its answer before its turn, so that it takes no more memory than a connection does. Where it
 * begins is a guess, which is right unless bytes end a page before its rows do; the answer to a wrong guess is dropped. A failure is seen
 * when the turn of its page comes.
 */
export class CommittedPages {
  readonly #call: Call;
  readonly #capabilities: ServerCapabilities;
  readonly #outbox: Committed;
  #coming: Promise<CommittedPage>;
  #sent: SentRequest | null = null;
  /** Rows of the bundle: as many as were frozen, until the first page says more or less. */
  #rowCount: number;
  /** Pages hold as many rows as were asked for, as far as one can tell. */
  #areFull = true;

  constructor(call: Call, capabilities: ServerCapabilities, outbox: Committed) {
    this.#call = call;
    this.#capabilities = capabilities;
    this.#outbox = outbox;
    this.#rowCount = outbox.rowCount;
    this.#coming = this.#fetch(0);
  }

  /** Begins to read the page after this one, which is checked and not the last. */
  request(rowsBefore: number, page: CommittedPage): void {
    this.#rowCount = page.rowCount;
    this.#areFull = page.rows.length === this.#pageRows;
    this.#coming = this.#fetch(rowsBefore + page.rows.length);
  }

  next(): Promise<CommittedPage> {
    return this.#coming;
  }

  /** Waits until no request runs any more. */
  async settle(): Promise<void> {
    this.#drop();
    await this.#coming.catch(() => undefined);
    this.#drop();
  }

  get #pageRows(): number {
    return this.#call.engine.options.downloadLimit;
  }

  #fetch(rowsBefore: number): Promise<CommittedPage> {
    const page = this.#fetchPage(rowsBefore);
    page.catch(() => undefined);
    return page;
  }

  async #fetchPage(rowsBefore: number): Promise<CommittedPage> {
    const { clock } = this.#call.engine.http;
    for (let attempt = 1; ; attempt += 1) {
      const sent = this.#takeSent(rowsBefore);
      const request = sent === undefined ? this.#request : { ...this.#request, sent };
      const reply = await askServer(this.#call, this.#spec(rowsBefore), request, (body) => this.#read(body, rowsBefore));
      if (reply.kind === 'ok') {
        if (reply.value.canonicalRequestHash === this.#outbox.requestHash) return reply.value;
        throw await replayLost(this.#call, 'history_pruned');
      }
      const { status, serverCode } = reply.refusal;
      if (status === 409 && serverCode === 'history_pruned') throw await replayLost(this.#call, 'history_pruned');
      const isLagging = status === 404 && serverCode === 'committed_bundle_not_found';
      if (!isLagging || attempt >= COMMITTED_ROWS_ATTEMPTS_MAX) throw refusalError(reply.refusal);
      const delayMs = doublingDelayMs(COMMITTED_ROWS_BACKOFF_MS, COMMITTED_ROWS_BACKOFF_MAX_MS, attempt);
      await sleep(clock, delayMs, this.#call.signal);
    }
  }

  /** A page whose body breaks off is asked for again, and must find a place at the server. */
  async #read(body: BodyReader, rowsBefore: number): Promise<CommittedPage> {
    this.#sendNext(rowsBefore + this.#pageRows);
    try {
      return await readCommittedPage(body, ROW_TEXT_BYTES_MAX);
    } catch (error) {
      this.#drop();
      throw error;
    }
  }

  #sendNext(rowsBefore: number): void {
    if (!this.#areFull || rowsBefore >= this.#rowCount) return;
    const limit = new AbortController();
    const call = { ...this.#call, signal: AbortSignal.any([this.#call.signal, limit.signal]) };
    const reply = sendAhead(call, this.#spec(rowsBefore), this.#request);
    reply.catch(() => undefined);
    this.#sent = { rowsBefore, reply, limit };
  }

  #takeSent(rowsBefore: number): Promise<OpenReply> | undefined {
    const sent = this.#sent;
    if (sent?.rowsBefore === rowsBefore) {
      this.#sent = null;
      return sent.reply;
    }
    this.#drop();
    return undefined;
  }

  #drop(): void {
    this.#sent?.limit.abort();
    this.#sent = null;
  }

  #spec(rowsBefore: number): RequestSpec {
    return committedRowsRequest(this.#outbox.bundleSeq, rowsBefore === 0 ? null : rowsBefore - 1, this.#pageRows);
  }

  get #request(): ServerRequest {
    return { sourceId: this.#outbox.sourceId, capabilities: this.#capabilities, bytesMax: Number.POSITIVE_INFINITY };
  }
}

/** The committed rows cannot be had any more, are not those of this push, or do not fit: only a snapshot brings this database back. */
export async function replayLost(call: Call, reason: 'history_pruned' | 'apply_failed'): Promise<SyncError> {
  const state = await loseCheckpoint(call, reason);
  return new SyncError('rebuild_required', {
    details: { reason: state.name === 'checkpoint_recovery' ? state.reason : reason },
  });
}
