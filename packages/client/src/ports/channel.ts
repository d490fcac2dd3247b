/**
 * The port that carries table changes between tabs and workers of one origin, as `BroadcastChannel` does. A message posted by one end
 * reaches every other end and never comes back to its sender. Messages hold names of tables, never keys or values; what arrives is
 * checked like any other input from outside.
 */
export interface ChangeChannel {
  post(message: unknown): void;
  /** Calls `listener` with every message of another end. Returns the function that ends it. */
  subscribe(listener: (message: unknown) => void): () => void;
}
