import { SyncError } from '@oversync/protocol';

import type { BodyReader } from '../http/body.ts';
import { ERROR_BYTES_BEFORE_CAPABILITIES, httpError, readJsonBody, requestReply, safeServerCode } from '../http/request-reply.ts';
import type { Refusal, Reply, RequestOptions, RequestSource } from '../http/request-reply.ts';
import { sendRequest } from '../http/exchange.ts';
import type { OpenReply } from '../http/exchange.ts';
import { capabilitiesRequest } from '../http/requests.ts';
import type { RequestSpec } from '../http/requests.ts';
import { CAPABILITIES_BODY_BYTES_MAX, CONTROL_BODY_BYTES_MAX } from '../limits.ts';
import type { LocalSchema } from '../rules/local-schema.ts';
import { checkCapabilities } from '../rules/negotiation.ts';
import type { ServerCapabilities, TableContract } from '../rules/negotiation.ts';
import type { Call } from './engine.ts';

/** Options of a request that differ from the usual ones. */
export interface ServerRequest {
  readonly sourceId: string;
  readonly capabilities?: ServerCapabilities;
  readonly bytesMax?: number;
  readonly isRepeatable?: boolean;
  /** The first attempt, where {@link sendAhead} has sent it. */
  readonly sent?: Promise<OpenReply>;
}

/** Sends a request of this call and reads its answer. */
export function askServer<T>(
  call: Call,
  source: RequestSource,
  request: ServerRequest,
  read: (body: BodyReader) => Promise<T>,
): Promise<Reply<T>> {
  return requestReply(call.engine.http, source, requestOptions(call, request), read);
}

/** Sends a request before its turn, so that the server works on it meanwhile. Nobody reads the answer until `askServer` gets it. */
export function sendAhead(call: Call, spec: RequestSpec, request: ServerRequest): Promise<OpenReply> {
  return sendRequest(call.engine.http, spec, requestOptions(call, request));
}

function requestOptions(call: Call, request: ServerRequest): RequestOptions {
  const { capabilities, sent } = request;
  return {
    sourceId: request.sourceId,
    signal: call.signal,
    acceptsGzip: capabilities?.features.has('gzip_request_bodies') === true,
    bytesMax: request.bytesMax ?? CONTROL_BODY_BYTES_MAX,
    errorBytesMax:
      capabilities === undefined
        ? ERROR_BYTES_BEFORE_CAPABILITIES
        : capabilities.limits.maxBytesPerSnapshotRow + CONTROL_BODY_BYTES_MAX,
    isRepeatable: request.isRepeatable ?? true,
    ...(sent === undefined ? {} : { sent }),
  };
}

/** The gate of client.md 9.1: fetches and checks the capabilities, or takes a result that is young enough. */
export async function fetchCapabilities(call: Call, sourceId: string): Promise<ServerCapabilities> {
  const { memory, options, http } = call.engine;
  const { capabilities } = memory;
  const nowMs = http.clock.monotonicMs();
  if (capabilities !== null && options.capabilitiesMaxAgeMs > 0 && nowMs - capabilities.atMs < options.capabilitiesMaxAgeMs) {
    return capabilities.value;
  }
  const reply = await askServer(call, capabilitiesRequest(), { sourceId, bytesMax: CAPABILITIES_BODY_BYTES_MAX }, readJsonBody);
  if (reply.kind === 'refused') throw httpError(reply.refusal);
  const value = checkCapabilities(reply.value, tableContracts(call.schema), {
    chunkRows: options.snapshotChunkRows,
    chunkBytes: options.snapshotChunkBytes,
    applyBatchBytes: options.snapshotApplyBatchBytes,
  });
  memory.capabilities = { value, atMs: nowMs };
  return value;
}

/** The local tables in the form of the server's list. */
export function tableContracts(schema: LocalSchema): readonly TableContract[] {
  return schema.tables.map((table) => ({ schema: schema.name, table: table.wireName, keyColumn: table.key.wireName }));
}

/** The error of a refusal that the operation has no rule for. */
export function refusalError(refusal: Refusal): SyncError {
  const { serverCode } = refusal;
  if (refusal.status === 409 && (serverCode === 'scope_uninitialized' || serverCode === 'scope_initializing')) {
    return new SyncError(serverCode, { details: { serverCode: safeServerCode(serverCode) } });
  }
  return httpError(refusal);
}
