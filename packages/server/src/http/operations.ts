import {
  isUuidToken,
  parsePushSessionRequest,
  parseVerifyRequest,
  parseVerifyRowsRequest,
  stringifyJson,
  SyncError,
} from '@oversync/protocol';
import type { ErrorCode, JsonOutput } from '@oversync/protocol';

import type { ByteBody } from '../engine/byte-body.ts';
import { enterChunkLine } from '../engine/chunk-line.ts';
import { readCommittedRows } from '../engine/committed-rows.ts';
import { connect } from '../engine/connect.ts';
import type { Actor, SyncContext } from '../engine/context.ts';
import { pull } from '../engine/pull.ts';
import { stagePushChunk } from '../engine/push-chunk.ts';
import { commitPush } from '../engine/push-commit.ts';
import { createPushSession } from '../engine/push-create.ts';
import { reportRefusals } from '../engine/push-refusal.ts';
import { deletePushSession, loadPushSessionStatus } from '../engine/push-session.ts';
import { ReceivedChunk } from '../engine/push-staging.ts';
import { readSnapshotChunk } from '../engine/snapshot-chunk.ts';
import { createSnapshotSession } from '../engine/snapshot-create.ts';
import { deleteSnapshotSession } from '../engine/snapshot-delete.ts';
import { readRangeRows, verifyRanges } from '../engine/verify.ts';
import { QueryReader } from './query.ts';
import { parseBody, parseConnectInput, parseSnapshotCreateInput } from './request-messages.ts';
import type { Reply } from './responses.ts';
import type { SyncOperation } from './routes.ts';

/** What an operation takes from the request, after authentication and the gates. */
export interface OperationCall {
  /** The path parameter, percent-decoded; empty where the path has none. */
  readonly parameter: string;
  readonly query: URLSearchParams;
  /** Reads the body within the limits of the operation. */
  readBody(): Promise<Uint8Array>;
}

export interface OperationSpec {
  /** Code of a fault that is neither the client's nor transient. */
  readonly failureCode: ErrorCode;
  /** Code of a body that is not well-formed. */
  readonly malformedCode: ErrorCode;
  /** Which limits apply to the body. */
  readonly body: 'control' | 'chunk';
  /** A client that goes away cancels a read; a write runs to its end. */
  readonly isRead: boolean;
  run(ctx: SyncContext, actor: Actor, call: OperationCall): Promise<Reply>;
}

/** Operations that run behind the life-cycle gate; capabilities and watch have their own order of checks. */
export type GatedOperation = Exclude<SyncOperation, 'capabilities' | 'bundle_change_watch'>;

export const OPERATIONS: Readonly<Record<GatedOperation, OperationSpec>> = {
  connect: {
    failureCode: 'connect_failed',
    malformedCode: 'invalid_request',
    body: 'control',
    isRead: false,
    run: async (ctx, actor, call) => {
      const body = parseBody(await call.readBody(), ctx.options.maxJsonDepth, 'invalid_request');
      return toJson(await connect(ctx, actor, parseConnectInput(body)));
    },
  },
  push_session_create: {
    failureCode: 'push_session_create_failed',
    malformedCode: 'invalid_request',
    body: 'control',
    isRead: false,
    run: async (ctx, actor, call) => {
      const body = parseBody(await call.readBody(), ctx.options.maxJsonDepth, 'invalid_request');
      return toJson(await reportRefusals(ctx, () => createPushSession(ctx, actor, parsePushSessionRequest(body))));
    },
  },
  push_chunk: {
    failureCode: 'push_chunk_failed',
    malformedCode: 'invalid_request',
    body: 'chunk',
    isRead: false,
    run: async (ctx, actor, call) => {
      checkToken(call.parameter, 'push_session_not_found');
      const place = enterChunkLine(ctx, actor, call.parameter);
      try {
        const chunk = new ReceivedChunk(call.parameter, await call.readBody(), (bytes) =>
          parseBody(bytes, ctx.options.maxJsonDepth, 'invalid_request'),
        );
        await place.wait(ctx.options.lockTimeoutMs, ctx.signal);
        return toJson({ ...(await reportRefusals(ctx, () => stagePushChunk(ctx, actor, chunk))) });
      } finally {
        place.leave();
      }
    },
  },
  push_session_commit: {
    failureCode: 'push_session_commit_failed',
    malformedCode: 'invalid_request',
    body: 'control',
    isRead: false,
    run: async (ctx, actor, call) => toJson(await reportRefusals(ctx, () => commitPush(ctx, actor, call.parameter))),
  },
  push_session_delete: {
    failureCode: 'push_session_delete_failed',
    malformedCode: 'invalid_request',
    body: 'control',
    isRead: false,
    run: async (ctx, actor, call) => {
      await deletePushSession(ctx, actor, call.parameter);
      return { kind: 'empty' };
    },
  },
  push_session_status: {
    failureCode: 'push_session_status_failed',
    malformedCode: 'invalid_request',
    body: 'control',
    isRead: true,
    run: async (ctx, actor, call) => toJson(await loadPushSessionStatus(ctx, actor, call.parameter)),
  },
  committed_bundle_rows: {
    failureCode: 'committed_bundle_rows_failed',
    malformedCode: 'committed_bundle_chunk_invalid',
    body: 'control',
    isRead: true,
    run: async (ctx, actor, call) => {
      const query = new QueryReader(call.query, 'committed_bundle_chunk_invalid');
      const { defaultRowsPerCommittedBundleChunk, maxRowsPerCommittedBundleChunk } = ctx.options;
      const input = {
        bundleSeq: query.path('bundle_seq', call.parameter, 1n),
        afterRowOrdinal: query.optional('after_row_ordinal', 0n),
        maxRows: query.cappedCount('max_rows', defaultRowsPerCommittedBundleChunk, maxRowsPerCommittedBundleChunk),
      };
      return toStream(await readCommittedRows(ctx, actor, input));
    },
  },
  pull: {
    failureCode: 'pull_failed',
    malformedCode: 'invalid_request',
    body: 'control',
    isRead: true,
    run: async (ctx, actor, call) => {
      const query = new QueryReader(call.query, 'invalid_request');
      const input = {
        afterBundleSeq: query.integer('after_bundle_seq', 0n, 0n),
        targetBundleSeq: query.integer('target_bundle_seq', 0n, 0n),
        maxBundles: query.boundedCount('max_bundles', ctx.options.defaultBundlesPerPull, ctx.options.maxBundlesPerPull),
      };
      return toStream(await pull(ctx, actor, input));
    },
  },
  snapshot_session_create: {
    failureCode: 'snapshot_session_create_failed',
    malformedCode: 'snapshot_session_invalid',
    body: 'control',
    isRead: false,
    run: async (ctx, actor, call) => {
      const input = parseSnapshotCreateInput(await call.readBody(), ctx.options.maxJsonDepth);
      return toJson(await createSnapshotSession(ctx, actor, input));
    },
  },
  snapshot_chunk: {
    failureCode: 'snapshot_chunk_failed',
    malformedCode: 'snapshot_chunk_invalid',
    body: 'control',
    isRead: true,
    run: async (ctx, actor, call) => {
      const query = new QueryReader(call.query, 'snapshot_chunk_invalid');
      const { options } = ctx;
      const input = {
        snapshotId: call.parameter,
        afterRowOrdinal: query.integer('after_row_ordinal', 0n, 0n),
        maxRows: query.cappedCount('max_rows', options.defaultRowsPerSnapshotChunk, options.maxRowsPerSnapshotChunk),
        maxBytes: query.cappedCount('max_bytes', options.defaultBytesPerSnapshotChunk, options.maxBytesPerSnapshotChunk),
      };
      return toStream(await readSnapshotChunk(ctx, actor, input));
    },
  },
  snapshot_session_delete: {
    failureCode: 'snapshot_session_delete_failed',
    malformedCode: 'snapshot_chunk_invalid',
    body: 'control',
    isRead: false,
    run: async (ctx, actor, call) => {
      await deleteSnapshotSession(ctx, actor, call.parameter);
      return { kind: 'empty' };
    },
  },
  verify: {
    failureCode: 'verify_failed',
    malformedCode: 'verify_invalid',
    body: 'chunk',
    isRead: true,
    run: async (ctx, actor, call) => {
      const body = parseBody(await call.readBody(), ctx.options.maxJsonDepth, 'verify_invalid');
      return toJson(await verifyRanges(ctx, actor, parseVerifyRequest(body)));
    },
  },
  verify_rows: {
    failureCode: 'verify_failed',
    malformedCode: 'verify_invalid',
    body: 'control',
    isRead: true,
    run: async (ctx, actor, call) => {
      const body = parseBody(await call.readBody(), ctx.options.maxJsonDepth, 'verify_invalid');
      return toStream(await readRangeRows(ctx, actor, parseVerifyRowsRequest(body)));
    },
  },
};

function toJson(body: JsonOutput): Reply {
  return { kind: 'json', text: stringifyJson(body) };
}

function toStream(body: ByteBody): Reply {
  return { kind: 'stream', body };
}

/** A token of a wrong form was never issued; saying so costs no body and no database. */
function checkToken(token: string, code: ErrorCode): void {
  if (!isUuidToken(token)) throw new SyncError(code);
}
