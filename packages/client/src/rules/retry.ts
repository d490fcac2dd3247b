/** How often, and with which delays, a request that failed in transport or with a 5xx status is repeated (client.md 9.4). */
export interface RetryPolicy {
  /** False: one attempt. */
  readonly enabled: boolean;
  readonly maxAttempts: number;
  readonly initialBackoffMs: number;
  readonly maxBackoffMs: number;
  /** Random share of the delay that is added to it, 0 to 1. */
  readonly jitterRatio: number;
}

/** How long a call waits for a server that is busy (client.md 9.4). */
export interface CapacityRetryPolicy {
  readonly enabled: boolean;
  /** Elapsed budget of one call over all its waits. */
  readonly maxWaitMs: number;
  /** Wait when the server names none. */
  readonly fallbackDelayMs: number;
  /** Random share of the wait that is added to it, 0 to 1. */
  readonly jitterRatio: number;
}

/** Delay before the attempt that follows `failedAttempts` failures. `fraction` is random in [0, 1). */
export function backoffDelayMs(policy: RetryPolicy, failedAttempts: number, fraction: number): number {
  const doubled = policy.initialBackoffMs * 2 ** Math.min(failedAttempts - 1, 30);
  const delay = Math.min(doubled, policy.maxBackoffMs);
  return delay + delay * policy.jitterRatio * fraction;
}

/** Attempts a policy allows, at least one. */
export function attemptsAllowed(policy: RetryPolicy): number {
  return policy.enabled ? Math.max(1, policy.maxAttempts) : 1;
}

/**
 * What to do after a server answered that it is busy: the wait in milliseconds, or `null` when it does not fit into what is left of the
 * budget. A wait that does not fit is not started, because the caller would only learn later what is already known.
 */
export function capacityDelayMs(
  policy: CapacityRetryPolicy,
  elapsedMs: number,
  retryAfterMs: number | null,
  fraction: number,
): number | null {
  if (!policy.enabled) return null;
  const base = retryAfterMs ?? policy.fallbackDelayMs;
  const delay = base + base * policy.jitterRatio * fraction;
  return elapsedMs + delay > policy.maxWaitMs ? null : delay;
}

const CAPACITY_CODES: ReadonlySet<string> = new Set([
  'snapshot_build_capacity',
  'snapshot_chunk_capacity',
  'push_session_capacity',
]);

/** Whether a 429 with this code is waited for inside the call. */
export function isCapacityCode(code: string): boolean {
  return CAPACITY_CODES.has(code);
}

/** Delay before attempt `failedAttempts` + 1 to find committed rows: `initialMs` doubling to `maxMs`. */
export function doublingDelayMs(initialMs: number, maxMs: number, failedAttempts: number): number {
  return Math.min(initialMs * 2 ** Math.min(failedAttempts - 1, 30), maxMs);
}
