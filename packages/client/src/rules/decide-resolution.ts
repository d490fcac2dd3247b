import type { Resolution, RowOp } from './conflict-types.ts';

/** What the server has for a key. */
export type ServerState = 'live' | 'tombstone' | 'none';

/**
 * What is done with a conflict. `queue` names the op that is queued, based on the server's version; the row state always becomes that of
 * the server (dropped for `none`).
 */
export type ConflictAction =
  | { readonly kind: 'take_server' }
  | { readonly kind: 'record_server' }
  | { readonly kind: 'keep_local'; readonly queue: RowOp }
  | { readonly kind: 'write_merged'; readonly queue: RowOp }
  | { readonly kind: 'quarantine' }
  | { readonly kind: 'invalid' };

const INVALID: ConflictAction = { kind: 'invalid' };

/**
 * The table of client.md 6.7.
 *
 * | local | server | acceptServer | keepLocal | keepMerged | recreate |
 * | --- | --- | --- | --- | --- | --- |
 * | INSERT | live | take server | UPDATE | UPDATE | as keepLocal |
 * | INSERT | tombstone, none | take server | INSERT | INSERT | as keepLocal |
 * | UPDATE | live | take server | UPDATE | UPDATE | as keepLocal |
 * | UPDATE | tombstone, none | take server | invalid | invalid | INSERT |
 * | DELETE | live | take server | DELETE | invalid | invalid |
 * | DELETE | tombstone, none | record | record | invalid | invalid |
 */
export function decideResolution(localOp: RowOp, server: ServerState, resolution: Resolution['kind']): ConflictAction {
  if (resolution === 'defer') return { kind: 'quarantine' };
  if (localOp === 'DELETE') return decideForDelete(server, resolution);
  if (resolution === 'acceptServer') return { kind: 'take_server' };
  const queue = server === 'live' ? 'UPDATE' : 'INSERT';
  const isGone = localOp === 'UPDATE' && server !== 'live';
  if (isGone && resolution !== 'recreate') return INVALID;
  return resolution === 'keepMerged' ? { kind: 'write_merged', queue } : { kind: 'keep_local', queue };
}

function decideForDelete(
  server: ServerState,
  resolution: 'acceptServer' | 'keepLocal' | 'keepMerged' | 'recreate',
): ConflictAction {
  if (resolution === 'keepMerged' || resolution === 'recreate') return INVALID;
  if (server !== 'live') return { kind: 'record_server' };
  return resolution === 'acceptServer' ? { kind: 'take_server' } : { kind: 'keep_local', queue: 'DELETE' };
}
