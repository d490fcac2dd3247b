import { SyncError, isSyncError, parseCommitReply, parsePushChunkReply } from '@oversync/protocol';
import type { PushChunkReply } from '@oversync/protocol';

import { encodeText, sleep } from '../http/exchange.ts';
import { readJsonBody } from '../http/request-reply.ts';
import type { Reply } from '../http/request-reply.ts';
import { commitPushRequest, encodedChunkRequest, pushChunkText } from '../http/requests.ts';
import type { EncodedBody } from '../http/requests.ts';
import type { ServerCapabilities } from '../rules/negotiation.ts';
import { checkChunkReply, checkCommitIdentity } from '../rules/push-checks.ts';
import { attemptsAllowed, backoffDelayMs } from '../rules/retry.ts';
import { loadOutboxChunk } from '../store/outbox.ts';
import { emitProgress } from './engine.ts';
import type { Call } from './engine.ts';
import { reachPoint } from './fault-points.ts';
import { reactToRefusal } from './push-refusal.ts';
import type { Committed, OpenSession, Prepared, StepOutcome, Upload, UploadOutcome } from './push-refusal.ts';
import { createSession, findOpenSession, settleSession, storeCommit } from './push-session.ts';
import { askServer } from './server-requests.ts';

/**
 * Uploads and commits a frozen bundle (client.md 6.4). The tuple and the hash stay the same over every attempt; a commit is never sent
 * twice: when its answer is lost, a new create tells whether it happened.
 */
export async function uploadBundle(
  call: Call,
  capabilities: ServerCapabilities,
  outbox: Prepared,
  initializationId: string | null,
  whileCommitting: () => void = () => undefined,
): Promise<UploadOutcome> {
  const upload: Upload = { call, capabilities, outbox, whileCommitting, initializationId: initializationId ?? '' };
  const allowed = attemptsAllowed(call.engine.options.retryPolicy);
  let resumed = await findOpenSession(upload);
  for (let attempt = 1; ; attempt += 1) {
    const step = await attemptUpload(upload, resumed);
    if (step.kind === 'ended') return step.outcome;
    if (step.kind === 'next') return { kind: 'committed', outbox: step.value };
    resumed = null;
    if (attempt >= allowed) throw exhausted(step.error, attempt, allowed);
    await waitBeforeCreate(call, step.error, attempt);
  }
}

function exhausted(error: SyncError, attempts: number, allowed: number): SyncError {
  if (allowed === 1) return error;
  return new SyncError('retry_exhausted', { details: { operation: 'push', attempts, last: error.code }, cause: error });
}

/** A session that is gone is made again at once; a server that is in trouble gets time. */
async function waitBeforeCreate(call: Call, error: SyncError, attempt: number): Promise<void> {
  const status = error.details['status'];
  if (typeof status === 'number' && status < 500) return;
  const { clock, random, retryPolicy } = call.engine.http;
  await sleep(clock, backoffDelayMs(retryPolicy, attempt, random.fraction()), call.signal);
}

async function attemptUpload(upload: Upload, resumed: OpenSession | null): Promise<StepOutcome<Committed>> {
  const source = new ChunkSource(upload, resumed?.nextOrdinal ?? 0);
  try {
    const created = resumed === null ? await createSession(upload) : ({ kind: 'next', value: resumed } as const);
    if (created.kind !== 'next') return created;
    const session = created.value;
    if ('state' in session) return { kind: 'next', value: session };
    return await uploadAndCommit(upload, session, source);
  } finally {
    await source.settle();
  }
}

async function uploadAndCommit(upload: Upload, session: OpenSession, source: ChunkSource): Promise<StepOutcome<Committed>> {
  try {
    const uploaded = await uploadChunks(upload, session, source);
    const step = uploaded.kind === 'next' ? await commit(upload, session.pushId) : uploaded;
    await settleSession(upload, session.pushId, step.kind === 'ended' ? 'retire' : 'forget');
    return step;
  } catch (error) {
    const canResume = isSyncError(error) && isTransportFault(error) && upload.capabilities.features.has('push_session_status');
    await settleSession(upload, session.pushId, canResume ? 'keep' : 'retire').catch(() => undefined);
    throw error;
  }
}

function isTransportFault(error: SyncError): boolean {
  return (
    error.code === 'transport_failed' || error.code === 'timeout' || error.code === 'retry_exhausted' || error.code === 'aborted'
  );
}

async function uploadChunks(upload: Upload, session: OpenSession, source: ChunkSource): Promise<StepOutcome<null>> {
  const { outbox } = upload;
  report(upload, session.nextOrdinal);
  for (let ordinal = session.nextOrdinal; ordinal < outbox.rowCount;) {
    const { body, nextOrdinal } = await source.take();
    if (nextOrdinal === ordinal) throw new SyncError('outbox_corrupt', { details: { rule: 'row_count' } });
    const sending = uploadChunk(upload, session.pushId, nextOrdinal, body);
    if (nextOrdinal < outbox.rowCount) source.load(nextOrdinal);
    const step = await sending;
    if (step.kind !== 'next') return step;
    ordinal = nextOrdinal;
    report(upload, ordinal);
  }
  return { kind: 'next', value: null };
}

interface EncodedChunk {
  readonly body: EncodedBody;
  readonly nextOrdinal: number;
}

/** One chunk ahead: it is read and encoded while the request before it is on its way. Its failure is seen when its turn comes. */
class ChunkSource {
  readonly #upload: Upload;
  #coming: Promise<EncodedChunk>;

  constructor(upload: Upload, ordinal: number) {
    this.#upload = upload;
    this.#coming = this.#read(ordinal);
  }

  load(ordinal: number): void {
    this.#coming = this.#read(ordinal);
  }

  take(): Promise<EncodedChunk> {
    return this.#coming;
  }

  /** Waits until nothing is read any more. */
  async settle(): Promise<void> {
    await this.#coming.catch(() => undefined);
  }

  #read(ordinal: number): Promise<EncodedChunk> {
    const chunk = this.#encode(ordinal);
    chunk.catch(() => undefined);
    return chunk;
  }

  async #encode(ordinal: number): Promise<EncodedChunk> {
    const { call, capabilities } = this.#upload;
    const { rowsText, nextOrdinal } = await loadOutboxChunk(call.engine.driver, ordinal, chunkBounds(this.#upload));
    const acceptsGzip = capabilities.features.has('gzip_request_bodies');
    return { body: await encodeText(call.engine.http, pushChunkText(ordinal, rowsText), acceptsGzip), nextOrdinal };
  }
}

function report(upload: Upload, rowsDone: number): void {
  const phase = upload.initializationId === '' ? 'pushing' : 'seeding';
  emitProgress(upload.call, phase, { rowsDone, rowsTotal: upload.outbox.rowCount });
}

function chunkBounds({ call, capabilities }: Upload): { readonly rowsMax: number; readonly bytesMax: number } {
  const { uploadLimit, uploadChunkBytes } = call.engine.options;
  const { maxRowsPerPushChunk, maxBytesPerPushChunk } = capabilities.limits;
  return {
    rowsMax: Math.min(uploadLimit, maxRowsPerPushChunk ?? uploadLimit),
    bytesMax: Math.min(uploadChunkBytes, maxBytesPerPushChunk ?? uploadChunkBytes),
  };
}

async function uploadChunk(upload: Upload, pushId: string, nextOrdinal: number, body: EncodedBody): Promise<StepOutcome<null>> {
  const { call, capabilities, outbox } = upload;
  const spec = encodedChunkRequest(pushId, body);
  const reply: Reply<PushChunkReply> = await askServer(call, spec, { sourceId: outbox.sourceId, capabilities }, async (answer) =>
    parsePushChunkReply(await readJsonBody(answer)),
  );
  if (reply.kind === 'ok') {
    checkChunkReply(pushId, nextOrdinal, reply.value);
    return { kind: 'next', value: null };
  }
  const hadArrived = reply.attempts > 1 && reply.refusal.serverCode === 'push_chunk_out_of_order';
  return hadArrived ? { kind: 'next', value: null } : reactToRefusal(upload, 'chunk', reply.refusal);
}

async function commit(upload: Upload, pushId: string): Promise<StepOutcome<Committed>> {
  const { call, capabilities, outbox } = upload;
  const request = { sourceId: outbox.sourceId, capabilities, isRepeatable: false };
  try {
    await reachPoint(call.engine, 'push.beforeCommit');
    const asked = askServer(call, commitPushRequest(pushId), request, async (body) => parseCommitReply(await readJsonBody(body)));
    upload.whileCommitting();
    const reply = await asked;
    await reachPoint(call.engine, 'push.afterCommit');
    if (reply.kind === 'refused') return reactToRefusal(upload, 'commit', reply.refusal);
    checkCommitIdentity(outbox, reply.value);
    return { kind: 'next', value: await storeCommit(upload, reply.value) };
  } catch (error) {
    if (!isSyncError(error) || (error.code !== 'transport_failed' && error.code !== 'timeout')) throw error;
    return { kind: 'createAgain', error };
  }
}
