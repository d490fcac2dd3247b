/**
 * The port that knows whether somebody looks at the application: a tab in front, an app that is not in the background. With
 * `pauseWhenHidden` the background loop rests once it has been hidden for `hiddenGraceMs`.
 */
export interface Visibility {
  isVisible(): boolean;
  /** Calls `listener` after every change. Returns the function that ends it. */
  subscribe(listener: () => void): () => void;
}

/** For processes without a user interface: always visible. */
export const alwaysVisible: Visibility = { isVisible: () => true, subscribe: () => () => undefined };

/** The visibility of the page where there is one; always visible elsewhere, workers included. */
export function platformVisibility(): Visibility {
  const { document } = globalThis;
  if (document === undefined) return alwaysVisible;
  return {
    isVisible: () => document.visibilityState !== 'hidden',
    subscribe: (listener) => {
      document.addEventListener('visibilitychange', listener);
      return () => document.removeEventListener('visibilitychange', listener);
    },
  };
}
