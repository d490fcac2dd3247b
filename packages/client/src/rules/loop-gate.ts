/** What the loop knows about its surroundings. */
export interface Surroundings {
  readonly isOnline: boolean;
  /** False once the grace period after hiding is over. */
  readonly isAwake: boolean;
  readonly areUploadsPaused: boolean;
  readonly areDownloadsPaused: boolean;
  /** Another operation, such as `syncThenDetach`, wants the loop to keep still. */
  readonly isHeld: boolean;
  /** A user is attached and no recovery is due. */
  readonly isReady: boolean;
}

/** Why nothing of one kind may run; `null` when it may. */
export type Closure = 'offline' | 'hidden' | 'paused' | 'held' | 'preparing';

/** What is gated: the two workers, and the two preparations that have to come before them. */
export type GatedWork = 'uploads' | 'downloads' | 'attach' | 'rebuild';

/** Pure. The first reason counts, so that `state` names the one the application can do something about. */
export function closureOf(work: GatedWork, now: Surroundings): Closure | null {
  if (now.isHeld) return 'held';
  if (!now.isOnline) return 'offline';
  if (!now.isAwake) return 'hidden';
  if (isPaused(work, now)) return 'paused';
  return needsReadiness(work) && !now.isReady ? 'preparing' : null;
}

function needsReadiness(work: GatedWork): boolean {
  return work === 'uploads' || work === 'downloads';
}

/** An attach serves both directions, so it runs while either may; a rebuild is a download. */
function isPaused(work: GatedWork, now: Surroundings): boolean {
  switch (work) {
    case 'uploads':
      return now.areUploadsPaused;
    case 'downloads':
    case 'rebuild':
      return now.areDownloadsPaused;
    case 'attach':
      return now.areUploadsPaused && now.areDownloadsPaused;
  }
}
