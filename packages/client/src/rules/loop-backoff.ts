import type { LoopOptions } from './loop-options.ts';

/** The options that shape a delay. */
export type BackoffOptions = Pick<LoopOptions, 'backoffMinMs' | 'backoffMaxMs' | 'backoffJitterRatio'>;

/** Doublings after which the exponent no longer grows: beyond any sensible maximum, and far from Infinity. */
const DOUBLINGS_MAX = 30;

/** Delay after `failures` failures in a row: it doubles from the minimum to the maximum; jitter comes on top. `fraction` is in [0, 1). */
export function loopBackoffMs(options: BackoffOptions, failures: number, fraction: number): number {
  const doubled = options.backoffMinMs * 2 ** Math.min(Math.max(failures - 1, 0), DOUBLINGS_MAX);
  return withJitter(Math.min(doubled, options.backoffMaxMs), options.backoffJitterRatio, fraction);
}

/** A delay plus a random share of itself, so that clients that lost one server do not return to it all at once. */
export function withJitter(delayMs: number, jitterRatio: number, fraction: number): number {
  return delayMs + delayMs * jitterRatio * fraction;
}
