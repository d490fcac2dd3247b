import { SyncError, parsePushSessionReply, parsePushSessionStatus } from '@oversync/protocol';
import type { CommitReply, PushSessionReply } from '@oversync/protocol';

import { readJsonBody } from '../http/request-reply.ts';
import type { Reply } from '../http/request-reply.ts';
import { createPushSessionRequest, pushSessionStatusRequest } from '../http/requests.ts';
import { checkAlreadyCommitted, checkStaging } from '../rules/push-checks.ts';
import { storeCommittedRemote } from '../store/outbox.ts';
import { loadPushNote, savePushNote } from '../store/session-notes.ts';
import { withTransaction } from '../store/transaction.ts';
import { stepDriver } from './fault-points.ts';
import { answerOf, reactToRefusal } from './push-refusal.ts';
import type { Committed, OpenSession, StepOutcome, Upload } from './push-refusal.ts';
import { askServer } from './server-requests.ts';
import { retirePushSession } from './snapshot-session.ts';

/** The session that an earlier call left open, as far as the server still has it (protocol.md 8.6). */
export async function findOpenSession(upload: Upload): Promise<OpenSession | null> {
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

/** Announces the bundle: a session to upload into, or the news that it is committed already. */
export async function createSession(upload: Upload): Promise<StepOutcome<OpenSession | Committed>> {
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

/** Makes a commit durable before anything else happens. */
export function storeCommit(upload: Upload, reply: CommitReply): Promise<Committed> {
  const identity = { bundleSeq: reply.bundle_seq, bundleHash: reply.bundle_hash };
  return storeCommittedRemote(stepDriver(upload.call.engine, 'committed'), upload.outbox, identity);
}

/** Ends a session: deletes it on the server, only forgets it, or leaves it for the next call to continue. */
export async function settleSession(upload: Upload, pushId: string, what: 'retire' | 'forget' | 'keep'): Promise<void> {
  if (what === 'keep') return;
  const { call } = upload;
  if (what === 'retire') retirePushSession(call.engine, upload.outbox.sourceId, pushId);
  if ((await loadPushNote(call.engine.driver)) !== null) {
    await withTransaction(call.engine.driver, call.operation, (tx) => savePushNote(tx, null));
  }
}
