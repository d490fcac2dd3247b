import { isReservedSourceId, isSourceId, SOURCE_ID_HEADER, SyncError } from '@oversync/protocol';

import { RETRY_AFTER_MS } from '../limits.ts';
import type { ServerEvent, Logger } from '../engine/events.ts';
import type { ActorIdentity, ResolvedOptions } from '../engine/options.ts';
import { findScopeIdFault } from '../rules/scope-id.ts';

interface Reporter {
  readonly logger: Logger;
  emit(event: ServerEvent): void;
}

/**
 * Asks the host who is calling. The hook sees method, URL and headers; the body stays with the server.
 *
 * @throws SyncError `authentication_failed` for nobody or for a scope id that cannot be stored, `service_unavailable` when the hook
 * itself fails.
 */
export async function resolveActor(request: Request, options: ResolvedOptions, reporter: Reporter): Promise<ActorIdentity> {
  let identity: ActorIdentity | null;
  try {
    identity = await options.resolveActor(withoutBody(request));
  } catch (cause) {
    reporter.logger.error('resolveActor threw', { cause });
    reporter.emit({ name: 'actorRefused', reason: 'hook_failed' });
    throw new SyncError('service_unavailable', {
      message: 'authentication is not available now',
      retryAfterMs: RETRY_AFTER_MS,
      cause,
    });
  }
  if (identity === null) throw new SyncError('authentication_failed');
  const fault = findScopeIdFault(identity.scopeId, options.maxScopeIdBytes);
  if (fault === undefined) return identity;
  reporter.logger.error('resolveActor returned a scope id that cannot be used', { reason: fault });
  reporter.emit({ name: 'actorRefused', reason: fault });
  throw new SyncError('authentication_failed');
}

function withoutBody(request: Request): Request {
  if (request.body === null) return request;
  return new Request(request.url, { method: request.method, headers: request.headers });
}

/**
 * Reads the source header. A header that was sent twice arrives joined by a comma and a space, which the grammar refuses.
 *
 * @throws SyncError `invalid_request`, the same for a malformed and for a reserved id.
 */
export function readSourceId(request: Request, options: ResolvedOptions): string {
  const sourceId = request.headers.get(SOURCE_ID_HEADER);
  if (sourceId === null) throw new SyncError('invalid_request', { message: `the header ${SOURCE_ID_HEADER} is missing` });
  const isUsable = isSourceId(sourceId) && !isReservedSourceId(sourceId) && !options.reservedSourceIds.has(sourceId);
  if (!isUsable) throw new SyncError('invalid_request', { message: 'the source id is not valid' });
  return sourceId;
}
