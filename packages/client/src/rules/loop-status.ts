/** The one word for what the loop does (client.md 9.2). */
export type LoopStateName =
  | 'stopped'
  | 'idle'
  | 'syncing'
  | 'paused'
  | 'offline'
  | 'backoff'
  | 'needs_authentication'
  | 'blocked'
  | 'failed';

/** What one part of the loop does. */
export type PartActivity = 'resting' | 'running' | 'waiting' | 'stalled' | 'closed';

export interface LoopPicture {
  readonly end: 'stopped' | 'failed' | null;
  readonly needsAuthentication: boolean;
  readonly isOnline: boolean;
  /** Held, hidden, both directions paused, or what has to come first paused. */
  readonly isPaused: boolean;
  readonly parts: readonly PartActivity[];
}

/** Pure. The first line that applies wins: what stops everything comes before what one part does. */
export function loopStateName(picture: LoopPicture): LoopStateName {
  if (picture.end !== null) return picture.end;
  if (picture.needsAuthentication) return 'needs_authentication';
  if (!picture.isOnline) return 'offline';
  if (picture.isPaused) return 'paused';
  if (picture.parts.includes('running')) return 'syncing';
  if (picture.parts.includes('stalled')) return 'blocked';
  return picture.parts.includes('waiting') ? 'backoff' : 'idle';
}
