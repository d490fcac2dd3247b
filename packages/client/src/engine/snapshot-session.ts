import {
  SyncError,
  parseSnapshotChunkTooSmall,
  parseSnapshotLimit,
  parseSnapshotSession,
  parseSourceRetired,
} from '@oversync/protocol';
import type { SnapshotSession } from '@oversync/protocol';

import type { OpenReply } from '../http/exchange.ts';
import { readJsonBody, requestReply, safeServerCode } from '../http/request-reply.ts';
import type { Refusal } from '../http/request-reply.ts';
import {
  createSnapshotSessionRequest,
  deletePushSessionRequest,
  deleteSnapshotSessionRequest,
  snapshotChunkRequest,
} from '../http/requests.ts';
import type { RequestSpec, SourceReplacement } from '../http/requests.ts';
import { readSnapshotChunk } from '../http/snapshot-chunk.ts';
import type { RowPages, SnapshotChunk } from '../http/snapshot-chunk.ts';
import { CONTROL_BODY_BYTES_MAX, SESSION_DELETE_TIMEOUT_MS } from '../limits.ts';
import type { ServerCapabilities } from '../rules/negotiation.ts';
import { saveServerSuccessor } from '../store/session-notes.ts';
import { withTransaction } from '../store/transaction.ts';
import { runInBackground } from './engine.ts';
import type { Call, Engine } from './engine.ts';
import { askServer, refusalError, sendAhead } from './server-requests.ts';
import type { ServerRequest } from './server-requests.ts';

/** Creates a snapshot session; with a replacement also retires the previous source on the server. */
export async function createSnapshotSession(
  call: Call,
  capabilities: ServerCapabilities,
  sourceId: string,
  replacement: SourceReplacement | null,
): Promise<SnapshotSession> {
  const spec = createSnapshotSessionRequest(replacement);
  const reply = await askServer(call, spec, { sourceId, capabilities }, async (body) =>
    parseSnapshotSession(await readJsonBody(body)),
  );
  if (reply.kind === 'ok') return reply.value;
  await noteServerSuccessor(call, reply.refusal, replacement);
  throw sessionError(reply.refusal, replacement);
}

async function noteServerSuccessor(call: Call, refusal: Refusal, replacement: SourceReplacement | null): Promise<void> {
  if (refusal.status !== 409 || refusal.serverCode !== 'source_retired') return;
  const successor = parseSourceRetired(refusal.body ?? {}).replaced_by_source_id;
  if (successor === undefined || successor === replacement?.newSourceId) return;
  await withTransaction(call.engine.driver, call.operation, (tx) => saveServerSuccessor(tx, successor));
}

function sessionError(refusal: Refusal, replacement: SourceReplacement | null): SyncError {
  if (refusal.status !== 409) return refusalError(refusal);
  switch (refusal.serverCode) {
    case 'source_retired': {
      const successor = parseSourceRetired(refusal.body ?? {}).replaced_by_source_id;
      const isOther = successor !== undefined && successor !== replacement?.newSourceId;
      return new SyncError(isOther ? 'source_replacement_diverged' : 'source_replacement_invalid');
    }
    case 'source_replacement_invalid':
      return new SyncError('source_replacement_invalid');
    case 'snapshot_session_limit_exceeded':
      return new SyncError('snapshot_session_limit_exceeded', { details: { ...parseSnapshotLimit(refusal.body ?? {}) } });
    default:
      return refusalError(refusal);
  }
}

/** What all chunk requests of one session have in common. */
export interface ChunkSource {
  readonly capabilities: ServerCapabilities;
  readonly sourceId: string;
  readonly snapshotId: string;
}

/**
 * Fetches one chunk. `afterRowOrdinal` = rows received so far; `pages` takes its rows as they arrive; `sent` is the same request, if it
 * was sent ahead.
 */
export async function fetchSnapshotChunk(
  call: Call,
  source: ChunkSource,
  afterRowOrdinal: number,
  pages: RowPages | null,
  sent?: Promise<OpenReply>,
): Promise<SnapshotChunk> {
  const { bytes } = source.capabilities.snapshotChunk;
  const rowBytesMax = source.capabilities.limits.maxBytesPerSnapshotRow;
  const request = { ...chunkRequestOptions(source), ...(sent === undefined ? {} : { sent }) };
  const reply = await askServer(call, chunkSpec(source, afterRowOrdinal), request, (body) =>
    readSnapshotChunk(body, call.schema, rowBytesMax, pages),
  );
  if (reply.kind === 'ok') return reply.value;
  throw chunkError(reply.refusal, bytes);
}

/** Sends the request of a chunk before its turn. */
export function sendChunkRequest(call: Call, source: ChunkSource, afterRowOrdinal: number): Promise<OpenReply> {
  return sendAhead(call, chunkSpec(source, afterRowOrdinal), chunkRequestOptions(source));
}

function chunkSpec({ capabilities, snapshotId }: ChunkSource, afterRowOrdinal: number): RequestSpec {
  const { rows, bytes } = capabilities.snapshotChunk;
  return snapshotChunkRequest({ snapshotId, afterRowOrdinal, maxRows: rows, maxBytes: bytes });
}

function chunkRequestOptions({ capabilities, sourceId }: ChunkSource): ServerRequest {
  const { rows, bytes } = capabilities.snapshotChunk;
  return { sourceId, capabilities, bytesMax: bytes + rows + CONTROL_BODY_BYTES_MAX };
}

function chunkError(refusal: Refusal, bytes: number): SyncError {
  const { status, serverCode } = refusal;
  if (status === 403 || status === 404 || status === 410) {
    return new SyncError('snapshot_session_lost', { details: { reason: safeServerCode(serverCode) } });
  }
  if (status === 400 && serverCode === 'snapshot_chunk_too_small') {
    const required = parseSnapshotChunkTooSmall(refusal.body ?? {}).required_byte_count;
    return new SyncError('snapshot_chunk_too_small', { details: { limit: bytes, required } });
  }
  return refusalError(refusal);
}

/** Tells the server that a snapshot session is not needed any more. Nobody waits for it, and its failure means nothing. */
export function retireSnapshotSession(engine: Engine, sourceId: string, snapshotId: string): void {
  sendBestEffort(engine, sourceId, deleteSnapshotSessionRequest(snapshotId));
}

/** The same for a push session. */
export function retirePushSession(engine: Engine, sourceId: string, pushId: string): void {
  sendBestEffort(engine, sourceId, deletePushSessionRequest(pushId));
}

function sendBestEffort(engine: Engine, sourceId: string, spec: RequestSpec): void {
  const limit = new AbortController();
  const stopTimer = engine.http.clock.startTimer(SESSION_DELETE_TIMEOUT_MS, () => limit.abort());
  const options = {
    sourceId,
    signal: limit.signal,
    bytesMax: CONTROL_BODY_BYTES_MAX,
    errorBytesMax: CONTROL_BODY_BYTES_MAX,
    isRepeatable: false,
  };
  runInBackground(engine, requestReply(engine.http, spec, options, () => Promise.resolve()).finally(stopTimer));
}
