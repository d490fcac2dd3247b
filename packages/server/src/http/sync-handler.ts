import { SyncError } from '@oversync/protocol';
import type { ErrorCode } from '@oversync/protocol';

import { isWatchAllowed } from '../engine/capabilities.ts';
import type { Actor } from '../engine/context.ts';
import type { ServerCore } from '../engine/server-core.ts';
import { openWatch } from '../engine/watch.ts';
import type { Gzip } from '../ports/gzip.ts';
import { resolveActor, readSourceId } from './actor.ts';
import type { IncomingRequest } from './answerers.ts';
import { readRequestBody } from './body.ts';
import type { BodyLimits } from './body.ts';
import { toWireFault } from './faults.ts';
import { OPERATIONS } from './operations.ts';
import type { GatedOperation, OperationSpec } from './operations.ts';
import { QueryReader } from './query.ts';
import { acceptsGzip, createAnswer, createErrorAnswer, toResponse } from './responses.ts';
import type { Answer, Compression, OnSent, Reply } from './responses.ts';
import { matchRoute } from './routes.ts';
import type { RouteMatch, SyncOperation } from './routes.ts';

/** One request on its way through the checks; what is known grows step by step. */
interface Exchange {
  readonly core: ServerCore;
  readonly request: Request;
  readonly incoming: IncomingRequest;
  readonly url: URL;
  readonly correlationId: string;
  readonly startedAt: number;
  readonly compression: Compression;
  bytesIn: number;
  actor: Actor | undefined;
}

/** Answers every `/sync/*` request; never rejects. */
export async function handleSyncRequest(core: ServerCore, request: Request, gzip: Gzip): Promise<Response> {
  return toResponse(await answerSyncRequest(core, { request, clientSignal: request.signal }, gzip));
}

/** The same for adapters that hand requests over in parts. */
export async function answerSyncRequest(core: ServerCore, incoming: IncomingRequest, gzip: Gzip): Promise<Answer> {
  const { request } = incoming;
  const url = new URL(request.url);
  const match = matchRoute(request.method, url.pathname);
  const exchange: Exchange = {
    core,
    request,
    incoming,
    url,
    correlationId: crypto.randomUUID(),
    startedAt: performance.now(),
    compression: chooseCompression(core, request, match, gzip),
    bytesIn: 0,
    actor: undefined,
  };
  if (match.kind === 'operation') return answerOperation(exchange, match.operation, match.parameter);
  if (match.kind === 'not_found') return answerFault(exchange, 'unknown', 'not_found', new SyncError('not_found'));
  return answerFault(exchange, 'unknown', 'method_not_allowed', new SyncError('method_not_allowed'), { Allow: match.allow });
}

/** Old clients read watch answers raw, errors included, so nothing there is ever compressed. */
function chooseCompression(core: ServerCore, request: Request, match: RouteMatch, gzip: Gzip): Compression {
  const isWatch =
    match.kind === 'operation' ? match.operation === 'bundle_change_watch' : match.kind !== 'not_found' && match.isWatch;
  const { enabled, minBytes } = core.options.compression;
  return { isAccepted: enabled && !isWatch && acceptsGzip(request.headers.get('accept-encoding')), minBytes, gzip };
}

async function answerOperation(exchange: Exchange, operation: SyncOperation, parameter: string): Promise<Answer> {
  try {
    const { core, request } = exchange;
    const identity = await resolveActor(request, core.options, core.ctx);
    const actor = { ...identity, sourceId: readSourceId(request, core.options) };
    exchange.actor = actor;
    if (operation === 'capabilities') return await answerCapabilities(exchange, actor);
    if (operation === 'bundle_change_watch') return await answerWatch(exchange, actor);
    return await answerGated(exchange, actor, operation, parameter);
  } catch (error) {
    return answerFault(exchange, operation, FAILURE_CODES[operation], error);
  }
}

const FAILURE_CODES: Readonly<Record<SyncOperation, ErrorCode>> = {
  capabilities: 'capabilities_failed',
  bundle_change_watch: 'bundle_change_watch_failed',
  connect: OPERATIONS.connect.failureCode,
  push_session_create: OPERATIONS.push_session_create.failureCode,
  push_chunk: OPERATIONS.push_chunk.failureCode,
  push_session_commit: OPERATIONS.push_session_commit.failureCode,
  push_session_delete: OPERATIONS.push_session_delete.failureCode,
  push_session_status: OPERATIONS.push_session_status.failureCode,
  committed_bundle_rows: OPERATIONS.committed_bundle_rows.failureCode,
  pull: OPERATIONS.pull.failureCode,
  snapshot_session_create: OPERATIONS.snapshot_session_create.failureCode,
  snapshot_chunk: OPERATIONS.snapshot_chunk.failureCode,
  snapshot_session_delete: OPERATIONS.snapshot_session_delete.failureCode,
  verify: OPERATIONS.verify.failureCode,
  verify_rows: OPERATIONS.verify_rows.failureCode,
};

async function answerCapabilities(exchange: Exchange, actor: Actor): Promise<Answer> {
  const { core } = exchange;
  const reply: Reply = { kind: 'json', text: core.capabilities.getText(await isWatchAllowed(core.options, actor)) };
  return createAnswer(reply, exchange.compression, reportSent(exchange, 'capabilities', 200));
}

/** Watch has its own order of checks: the policy first, then the query, then whether it is on at all. */
async function answerWatch(exchange: Exchange, actor: Actor): Promise<Answer> {
  const { core } = exchange;
  const ctx = core.createRequestContext(actor, exchange.correlationId, exchange.incoming.clientSignal);
  if (core.options.watch.enabled && !(await isWatchAllowed(core.options, actor)))
    throw new SyncError('bundle_change_watch_forbidden');
  const query = new QueryReader(exchange.url.searchParams, 'invalid_request');
  const afterBundleSeq = query.integer('after_bundle_seq', 0n, 0n);
  if (!core.options.watch.enabled) throw new SyncError('bundle_change_watch_disabled');
  core.ctx.lifecycle.checkAccepting();
  const stream = await openWatch(ctx, core.hub, actor, afterBundleSeq);
  const response = createAnswer({ kind: 'events', stream }, exchange.compression, () => {});
  reportSent(exchange, 'bundle_change_watch', 200)(0);
  return response;
}

async function answerGated(exchange: Exchange, actor: Actor, operation: GatedOperation, parameter: string): Promise<Answer> {
  const { core, request } = exchange;
  const spec = OPERATIONS[operation];
  const running = core.ctx.lifecycle.enter();
  let isHandedOver = false;
  try {
    const signal = spec.isRead ? AbortSignal.any([running.signal, exchange.incoming.clientSignal]) : running.signal;
    const ctx = core.createRequestContext(actor, exchange.correlationId, signal);
    const readBody = async (): Promise<Uint8Array> => {
      const bytes = await readRequestBody(request, getBodyLimits(core, spec), signal, exchange.incoming.readWhole);
      exchange.bytesIn = bytes.byteLength;
      return bytes;
    };
    const reply = await spec.run(ctx, actor, { parameter, query: exchange.url.searchParams, readBody });
    const report = reportSent(exchange, operation, reply.kind === 'empty' ? 204 : 200);
    isHandedOver = true;
    return createAnswer(reply, exchange.compression, (byteCount, error) => {
      running.leave();
      report(byteCount, error);
    });
  } finally {
    if (!isHandedOver) running.leave();
  }
}

function getBodyLimits(core: ServerCore, spec: OperationSpec): BodyLimits {
  const { maxRequestBodyBytes, maxDecodedBodyBytes, maxControlBodyBytes } = core.options;
  const { malformedCode } = spec;
  if (spec.body === 'chunk') {
    return {
      encodedBytesMax: maxRequestBodyBytes,
      decodedBytesMax: maxDecodedBodyBytes,
      encodedOption: 'maxRequestBodyBytes',
      decodedOption: 'maxDecodedBodyBytes',
      malformedCode,
    };
  }
  return {
    encodedBytesMax: maxControlBodyBytes,
    decodedBytesMax: maxControlBodyBytes,
    encodedOption: 'maxControlBodyBytes',
    decodedOption: 'maxControlBodyBytes',
    malformedCode,
  };
}

function answerFault(
  exchange: Exchange,
  operation: SyncOperation | 'unknown',
  failureCode: ErrorCode,
  thrown: unknown,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  const { core, correlationId } = exchange;
  const { error, status } = toWireFault(thrown, {
    failureCode,
    correlationId,
    logger: core.options.logger,
    clientSignal: exchange.incoming.clientSignal,
  });
  return createErrorAnswer(error, status, exchange.compression, reportSent(exchange, operation, status, error.code), headers);
}

function reportSent(exchange: Exchange, operation: SyncOperation | 'unknown', status: number, code?: ErrorCode): OnSent {
  const { core, actor, correlationId } = exchange;
  return (byteCount, error) => {
    if (error !== undefined)
      core.options.logger.warn('response was not sent completely', { operation, correlationId, cause: error });
    core.ctx.emit({
      name: 'request',
      operation,
      status,
      ...(code === undefined ? {} : { code }),
      durationMs: performance.now() - exchange.startedAt,
      bytesIn: exchange.bytesIn,
      bytesOut: byteCount,
      correlationId,
      ...(actor === undefined ? {} : { scopeId: actor.scopeId }),
      ...(actor?.userId === undefined ? {} : { userId: actor.userId }),
    });
  };
}
