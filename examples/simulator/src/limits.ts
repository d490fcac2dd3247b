/** How long a change of one device may take to reach another one that watches, in milliseconds. */
export const ARRIVAL_TIMEOUT_MS = 5000;

/** How often a condition is looked at again while waiting for it, in milliseconds. */
export const LOOK_INTERVAL_MS = 20;

/** How long a device waits for another one that is seeding the same user's data, in milliseconds. */
export const SEEDING_TIMEOUT_MS = 60_000;

/** How long an ending server waits for running requests, in milliseconds. */
export const CLOSE_TIMEOUT_MS = 5000;

/** Most users of a parallel run: each one has a database file and a connection or two of its own. */
export const PARALLEL_MAX = 500;

/** Life of a token, in seconds; longer than any run. */
export const TOKEN_LIFE_SECONDS = 24 * 3600;

/** Connections for verification. */
export const VERIFY_POOL_SIZE = 4;

/** Connections of the back office. */
export const BACK_OFFICE_POOL_SIZE = 4;
