import {
  SyncError,
  isJsonObject,
  isSyncError,
  parseCommitReply,
  parsePushChunkReply,
  parsePushSessionReply,
  parsePushSessionStatus,
  parseSourceRetired,
} from '@oversync/protocol';
import type { CommitReply, PushChunkReply, PushSessionReply } from '@oversync/protocol';

import { sleep } from '../http/exchange.ts';
import { httpError, readJsonBody, safeServerCode } from '../http/request-reply.ts';
import type { Refusal, Reply } from '../http/request-reply.ts';
import { commitPushRequest, createPushSessionRequest, pushChunkRequest, pushSessionStatusRequest } from '../http/requests.ts';
import type { ServerCapabilities } from '../rules/negotiation.ts';
import { decidePushAnswer } from '../rules/push-answer.ts';
import type { PushAnswer, PushStep } from '../rules/push-answer.ts';
import { checkAlreadyCommitted, checkChunkReply, checkCommitIdentity, checkStaging } from '../rules/push-checks.ts';
import { attemptsAllowed, backoffDelayMs } from '../rules/retry.ts';
import type { Outbox } from '../store/client-state.ts';
import { loadOutboxChunk, storeCommittedRemote } from '../store/outbox.ts';
import { loadPushNote, savePushNote } from '../store/session-notes.ts';
import { withTransaction } from '../store/transaction.ts';
import { emitProgress } from './engine.ts';
import type { Call } from './engine.ts';
import { askServer, refusalError } from './server-requests.ts';
import { retirePushSession } from './snapshot-session.ts';
import { loseInitialization, loseSource } from './transitions.ts';

type Prepared = Extract<Outbox, { readonly state: 'prepared' }>;
type Committed = Extract<Outbox, { readonly state: 'committed_remote' }>;

/** How the upload of a frozen bundle ended without an error. */
export type UploadOutcome =
  | { readonly kind: 'committed'; readonly outbox: Committed }
  | { readonly kind: 'conflict'; readonly refusal: Refusal }
  /** The server refuses the content; the tuple is not committed. */
  | { readonly kind: 'rejected'; readonly refusal: Refusal };

/** One frozen bundle on its way. */
interface Upload {
  readonly call: Call;
  readonly capabilities: ServerCapabilities;
  readonly outbox: Prepared;
  /** Cleared when the server does not want it any more. */
  initializationId: string;
}

interface OpenSession {
  readonly pushId: string;
  readonly nextOrdinal: number;
}

/** What one step of an attempt leads to. */
type StepOutcome<T> =
  | { readonly kind: 'next'; readonly value: T }
  | { readonly kind: 'createAgain'; readonly error: SyncError }
  | { readonly kind: 'ended'; readonly outcome: UploadOutcome };

/**
 * Uploads and commits a frozen bundle (client.md 6.4). The tuple and the hash stay the same over every attempt; a commit is never sent
 * twice: when its answer is lost, a new create tells whether it happened.
 */
export async function uploadBundle(
  call: Call,
  capabilities: ServerCapabilities,
  outbox: Prepared,
  initializationId: string | null,
): Promise<UploadOutcome> {
  const upload: Upload = { call, capabilities, outbox, initializationId: initializationId ?? '' };
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
  const created = resumed === null ? await createSession(upload) : ({ kind: 'next', value: resumed } as const);
  if (created.kind !== 'next') return created;
  const session = created.value;
  if ('state' in session) return { kind: 'next', value: session };
  try {
    const uploaded = await uploadChunks(upload, session);
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

async function settleSession(upload: Upload, pushId: string, what: 'retire' | 'forget' | 'keep'): Promise<void> {
  if (what === 'keep') return;
  const { call } = upload;
  if (what === 'retire') retirePushSession(call.engine, upload.outbox.sourceId, pushId);
  if ((await loadPushNote(call.engine.driver)) !== null) {
    await withTransaction(call.engine.driver, call.operation, (tx) => savePushNote(tx, null));
  }
}

/** The session that an earlier call left open, as far as the server still has it (protocol.md 8.6). */
async function findOpenSession(upload: Upload): Promise<OpenSession | null> {
  const { call, capabilities, outbox } = upload;
  if (!capabilities.features.has('push_session_status')) return null;
  const note = await loadPushNote(call.engine.driver);
  if (note === null || note.requestHash !== outbox.requestHash) return null;
  const spec = pushSessionStatusRequest(note.pushId);
  const reply = await askServer(call, spec, { sourceId: outbox.sourceId, capabilities }, async (body) =>
    parsePushSessionStatus(await readJsonBody(body)),
  );
  if (reply.kind === 'refused') return null;
  const { push_id: pushId, next_expected_row_ordinal: nextOrdinal, canonical_request_hash: hash } = reply.value;
  if (pushId !== note.pushId || hash !== outbox.requestHash || nextOrdinal > outbox.rowCount) return null;
  return { pushId, nextOrdinal };
}

async function createSession(upload: Upload): Promise<StepOutcome<OpenSession | Committed>> {
  const reply = await askCreate(upload);
  if (reply.kind === 'ok') return acceptCreate(upload, reply.value);
  const answer = answerOf('create', reply.refusal);
  if (answer.kind !== 'createRefused') return reactToRefusal(upload, 'create', reply.refusal);
  if (upload.initializationId === '') throw new SyncError('source_sequence_mismatch');
  upload.initializationId = '';
  return createSession(upload);
}

function askCreate(upload: Upload): Promise<Reply<PushSessionReply>> {
  const { outbox } = upload;
  const spec = createPushSessionRequest({
    sourceBundleId: outbox.sourceBundleId,
    plannedRowCount: outbox.rowCount,
    canonicalRequestHash: outbox.requestHash,
    initializationId: upload.initializationId,
  });
  const request = { sourceId: outbox.sourceId, capabilities: upload.capabilities };
  return askServer(upload.call, spec, request, async (body) => parsePushSessionReply(await readJsonBody(body)));
}

async function acceptCreate(upload: Upload, reply: PushSessionReply): Promise<StepOutcome<OpenSession | Committed>> {
  const { call, outbox } = upload;
  if (reply.status === 'already_committed') {
    checkAlreadyCommitted(outbox, reply);
    return { kind: 'next', value: await storeCommit(upload, reply) };
  }
  checkStaging(outbox, reply);
  if (upload.capabilities.features.has('push_session_status')) {
    const note = { pushId: reply.push_id, requestHash: outbox.requestHash };
    await withTransaction(call.engine.driver, call.operation, (tx) => savePushNote(tx, note));
  }
  return { kind: 'next', value: { pushId: reply.push_id, nextOrdinal: 0 } };
}

function storeCommit(upload: Upload, reply: CommitReply): Promise<Committed> {
  const identity = { bundleSeq: reply.bundle_seq, bundleHash: reply.bundle_hash };
  return storeCommittedRemote(upload.call.engine.driver, upload.outbox, identity);
}

async function uploadChunks(upload: Upload, session: OpenSession): Promise<StepOutcome<null>> {
  const { call, outbox } = upload;
  let ordinal = session.nextOrdinal;
  report(upload, ordinal);
  while (ordinal < outbox.rowCount) {
    const chunk = await loadOutboxChunk(call.engine.driver, ordinal, chunkBounds(upload));
    if (chunk.rowCount === 0) throw new SyncError('outbox_corrupt', { details: { rule: 'row_count' } });
    const step = await uploadChunk(upload, session.pushId, ordinal, chunk);
    if (step.kind !== 'next') return step;
    ordinal = chunk.nextOrdinal;
    report(upload, ordinal);
  }
  return { kind: 'next', value: null };
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

interface ChunkToSend {
  readonly rowsText: string;
  readonly nextOrdinal: number;
}

async function uploadChunk(upload: Upload, pushId: string, startOrdinal: number, chunk: ChunkToSend): Promise<StepOutcome<null>> {
  const { call, capabilities, outbox } = upload;
  const spec = pushChunkRequest(pushId, startOrdinal, [chunk.rowsText]);
  const reply: Reply<PushChunkReply> = await askServer(call, spec, { sourceId: outbox.sourceId, capabilities }, async (body) =>
    parsePushChunkReply(await readJsonBody(body)),
  );
  if (reply.kind === 'ok') {
    checkChunkReply(pushId, chunk.nextOrdinal, reply.value);
    return { kind: 'next', value: null };
  }
  const hadArrived = reply.attempts > 1 && reply.refusal.serverCode === 'push_chunk_out_of_order';
  return hadArrived ? { kind: 'next', value: null } : reactToRefusal(upload, 'chunk', reply.refusal);
}

async function commit(upload: Upload, pushId: string): Promise<StepOutcome<Committed>> {
  const { call, capabilities, outbox } = upload;
  const request = { sourceId: outbox.sourceId, capabilities, isRepeatable: false };
  try {
    const reply = await askServer(call, commitPushRequest(pushId), request, async (body) =>
      parseCommitReply(await readJsonBody(body)),
    );
    if (reply.kind === 'refused') return reactToRefusal(upload, 'commit', reply.refusal);
    checkCommitIdentity(outbox, reply.value);
    return { kind: 'next', value: await storeCommit(upload, reply.value) };
  } catch (error) {
    if (!isSyncError(error) || (error.code !== 'transport_failed' && error.code !== 'timeout')) throw error;
    return { kind: 'createAgain', error };
  }
}

/** Does what an answer asks for: stores a recovery and throws, or says how to go on. */
async function reactToRefusal(
  upload: Upload,
  step: PushStep,
  refusal: Refusal,
): Promise<Exclude<StepOutcome<never>, { kind: 'next' }>> {
  const { call } = upload;
  const answer = answerOf(step, refusal);
  switch (answer.kind) {
    case 'sourceLost':
      await loseSource(call, answer.reason, answer.reason === 'source_retired' ? namedSuccessor(upload, refusal) : null);
      throw new SyncError('source_recovery_required', { details: { reason: answer.reason } });
    case 'initializationLost':
      await loseInitialization(call);
      throw new SyncError('initialization_lost', { details: { serverCode: safeServerCode(refusal.serverCode) } });
    case 'createAgain':
      return { kind: 'createAgain', error: httpError(refusal) };
    case 'conflict':
      return { kind: 'ended', outcome: { kind: 'conflict', refusal } };
    case 'rejected':
      return { kind: 'ended', outcome: { kind: 'rejected', refusal } };
    case 'createRefused':
    case 'other':
      if (step === 'commit' && refusal.status >= 500 && refusal.retryAfterMs === null)
        return { kind: 'createAgain', error: httpError(refusal) };
      throw refusalError(refusal);
  }
}

function answerOf(step: PushStep, refusal: Refusal): PushAnswer {
  return decidePushAnswer(step, {
    status: refusal.status,
    serverCode: refusal.serverCode,
    hasViolation: isJsonObject(refusal.body?.['violation']),
    hasLimitExceeded: isJsonObject(refusal.body?.['limit_exceeded']),
  });
}

function namedSuccessor(upload: Upload, refusal: Refusal): string | null {
  const retired = parseSourceRetired(refusal.body ?? {});
  if (retired.source_id !== upload.outbox.sourceId)
    throw new SyncError('protocol_violation', { details: { reason: 'identity' } });
  return retired.replaced_by_source_id ?? null;
}
