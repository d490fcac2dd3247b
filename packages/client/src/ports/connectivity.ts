/**
 * The port that knows whether a network is there. The background loop makes no request while it says no; explicit calls never ask it.
 * It may be wrong in one direction only: online although nothing can be reached. Then requests fail and are repeated with a back-off.
 */
export interface Connectivity {
  isOnline(): boolean;
  /** Calls `listener` after every change. Returns the function that ends it. */
  subscribe(listener: () => void): () => void;
}

/** For platforms that cannot tell: always online. */
export const alwaysOnline: Connectivity = { isOnline: () => true, subscribe: () => () => undefined };

/** What browsers know; always online elsewhere. */
export function platformConnectivity(): Connectivity {
  const { navigator } = globalThis;
  if (typeof navigator?.onLine !== 'boolean' || typeof globalThis.addEventListener !== 'function') return alwaysOnline;
  return {
    isOnline: () => navigator.onLine,
    subscribe: (listener) => {
      globalThis.addEventListener('online', listener);
      globalThis.addEventListener('offline', listener);
      return () => {
        globalThis.removeEventListener('online', listener);
        globalThis.removeEventListener('offline', listener);
      };
    },
  };
}
