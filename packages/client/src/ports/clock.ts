/** The port for time. Delays are milliseconds; tests drive it by hand. */
export interface Clock {
  /** Never goes backwards; only differences have a meaning. */
  monotonicMs(): number;
  /** Milliseconds since 1970, for comparison with times that a server sends. */
  epochMs(): number;
  /** Calls `fire` once after the delay. Returns the function that cancels it. */
  startTimer(delayMs: number, fire: () => void): () => void;
}

/** The clock of the platform. */
export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  epochMs: () => Date.now(),
  startTimer: (delayMs, fire) => {
    const timer = setTimeout(fire, delayMs);
    return () => clearTimeout(timer);
  },
};

/** The port for randomness: jitter, and ids that nobody may guess or repeat. */
export interface Random {
  /** In [0, 1). */
  fraction(): number;
  /** A lower-case dashed UUID of version 4. */
  uuid(): string;
}

/** Randomness of the platform. */
export const systemRandom: Random = {
  fraction: () => Math.random(),
  uuid: () => crypto.randomUUID(),
};
