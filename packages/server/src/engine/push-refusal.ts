import { SyncError } from '@oversync/protocol';

import type { SyncContext } from './context.ts';

/** Runs one step of a push and tells the host's metrics when it was refused because of what the client sent. */
export async function reportRefusals<T>(ctx: SyncContext, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    if (error instanceof SyncError) report(ctx, error);
    throw error;
  }
}

function report(ctx: SyncContext, { code, details }: SyncError): void {
  if (code === 'push_conflict') ctx.emit({ name: 'pushConflict', count: Number(details['conflict_count'] ?? 1) });
  if (code !== 'push_session_invalid' && code !== 'push_chunk_invalid' && code !== 'push_commit_invalid') return;
  const violationKind = getText(details['violation'], 'kind');
  const limit = getText(details['limit_exceeded'], 'name');
  ctx.emit({
    name: 'pushRejected',
    code,
    ...(violationKind === undefined ? {} : { violationKind }),
    ...(limit === undefined ? {} : { limit }),
  });
}

function getText(detail: unknown, member: string): string | undefined {
  if (typeof detail !== 'object' || detail === null) return undefined;
  const value: unknown = Reflect.get(detail, member);
  return typeof value === 'string' ? value : undefined;
}
