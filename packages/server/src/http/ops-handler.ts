import { isSyncError, stringifyJson, SyncError } from '@oversync/protocol';

import type { StatusBody } from '../engine/health.ts';
import type { ServerCore } from '../engine/server-core.ts';
import type { Gzip } from '../ports/gzip.ts';
import { toWireFault } from './faults.ts';
import { acceptsGzip, createAnswer, createErrorAnswer, toResponse } from './responses.ts';
import type { Compression } from './responses.ts';

type OpsOperation = 'health' | 'status' | 'metrics';

const UNHEALTHY_STATUS = 503;

/**
 * Answers `…/health`, `…/status` and, where the host has a source of figures, `…/metrics`; needs neither credentials nor a source
 * id unless the host adds a check. Never rejects.
 */
export async function handleOpsRequest(core: ServerCore, request: Request, gzip: Gzip): Promise<Response> {
  const { enabled, minBytes } = core.options.compression;
  const compression: Compression = { isAccepted: enabled && acceptsGzip(request.headers.get('accept-encoding')), minBytes, gzip };
  const operation = findOperation(core, new URL(request.url).pathname);
  const nothing = (): void => {};
  if (operation === undefined) return toResponse(createErrorAnswer(new SyncError('not_found'), 404, compression, nothing));
  if (request.method !== 'GET') {
    return toResponse(createErrorAnswer(new SyncError('method_not_allowed'), 405, compression, nothing, { Allow: 'GET' }));
  }
  try {
    await checkAllowed(core, request);
    const body = await core.health.describe();
    if (operation === 'metrics') return await createMetricsResponse(core, body);
    const status = operation === 'health' && body.status === 'unhealthy' ? UNHEALTHY_STATUS : 200;
    return toResponse(createAnswer({ kind: 'json', text: stringifyJson(body), status }, compression, nothing));
  } catch (error) {
    const failureCode = operation === 'health' ? 'health_failed' : 'status_failed';
    const fault = toWireFault(error, { failureCode, correlationId: crypto.randomUUID(), logger: core.options.logger });
    return toResponse(createErrorAnswer(fault.error, fault.status, compression, nothing));
  }
}

function findOperation(core: ServerCore, pathname: string): OpsOperation | undefined {
  const last = pathname.split('/').at(-1);
  if (last === 'metrics') return core.options.ops.metrics === undefined ? undefined : last;
  return last === 'health' || last === 'status' ? last : undefined;
}

async function createMetricsResponse(core: ServerCore, status: StatusBody): Promise<Response> {
  const page = await core.options.ops.metrics?.(status);
  if (page === undefined) throw new SyncError('status_failed');
  return new Response(page.text, { status: 200, headers: { 'Content-Type': page.contentType, 'Cache-Control': 'no-store' } });
}

/** A check that fails by itself refuses too: figures are not worth an open door. */
async function checkAllowed(core: ServerCore, request: Request): Promise<void> {
  const { authorize } = core.options.ops;
  if (authorize === undefined) return;
  try {
    if (await authorize(request)) return;
  } catch (error) {
    if (!isSyncError(error)) core.options.logger.error('ops.authorize threw', { cause: error });
  }
  throw new SyncError('authentication_failed');
}
