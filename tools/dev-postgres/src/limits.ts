/** How long a started server may take until it accepts connections, in seconds (recovery after a crash included). */
export const START_TIMEOUT_SECONDS = 60;

/** How long a fast shutdown may take, in seconds, before the server is told to stop at once (its next start then recovers). */
export const STOP_TIMEOUT_SECONDS = 30;

/** Attempts to start on a free port: another process may take the port between looking and listening. */
export const PORT_ATTEMPTS_MAX = 5;

/** A server log above this size, in bytes, is emptied at the next start. */
export const LOG_BYTES_MAX = 8 * 1024 * 1024;

/** Pause between two looks at a process or a file, in milliseconds. */
export const POLL_INTERVAL_MS = 25;

/** How long the connections to a test database may take to leave before it is dropped, in milliseconds. */
export const LEAVE_TIMEOUT_MS = 3000;
