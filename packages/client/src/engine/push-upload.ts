import { SyncError, isSyncError, parseCommitReply } from '@oversync/protocol';

import { sleep } from '../http/exchange.ts';
import { readJsonBody } from '../http/request-reply.ts';
import { commitPushRequest } from '../http/requests.ts';
import type { ServerCapabilities } from '../rules/negotiation.ts';
import { checkCommitIdentity } from '../rules/push-checks.ts';
import { attemptsAllowed, backoffDelayMs } from '../rules/retry.ts';
import type { Call } from './engine.ts';
import { reachPoint } from './fault-points.ts';
import { ChunkUpload } from './push-chunks.ts';
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
  const chunks = new ChunkUpload(upload, resumed?.nextOrdinal ?? 0);
  try {
    const created = resumed === null ? await createSession(upload) : ({ kind: 'next', value: resumed } as const);
    if (created.kind !== 'next') return created;
    const session = created.value;
    if ('state' in session) return { kind: 'next', value: session };
    return await uploadAndCommit(upload, session, chunks);
  } finally {
    await chunks.settle();
  }
}

async function uploadAndCommit(upload: Upload, session: OpenSession, chunks: ChunkUpload): Promise<StepOutcome<Committed>> {
  try {
    const uploaded = await chunks.run(session);
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
