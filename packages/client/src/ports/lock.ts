/** How the ownership of a database is asked for (client.md 2.4). */
export interface LockRequest {
  /** True: wait until the present owner ends. False: answer at once. */
  readonly wait: boolean;
  readonly signal?: AbortSignal;
}

/** Held until `release` is called, or until the process that took it dies. */
export interface HeldLock {
  release(): Promise<void>;
}

/**
 * The port that keeps other processes, workers and tabs away from a database while a client has it open. `acquire` resolves with `null`
 * when somebody else holds the lock and `wait` is false; it rejects only when the caller's signal fires.
 */
export interface OwnershipLock {
  acquire(name: string, request: LockRequest): Promise<HeldLock | null>;
}
