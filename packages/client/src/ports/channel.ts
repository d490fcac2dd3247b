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

/** A `ChangeChannel` over `BroadcastChannel`. One name per database; it stays open until `close`. */
export function createBroadcastChangeChannel(name: string): ChangeChannel & { close(): void } {
  const channel = new BroadcastChannel(name);
  return {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- the channel has one origin by nature
    post: (message) => channel.postMessage(message),
    subscribe: (listener) => {
      const receive = (event: MessageEvent<unknown>): void => listener(event.data);
      channel.addEventListener('message', receive);
      return () => channel.removeEventListener('message', receive);
    },
    close: () => channel.close(),
  };
}
