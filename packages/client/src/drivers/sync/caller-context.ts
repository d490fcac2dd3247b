/** A transaction whose function is running. */
export interface OpenTransaction {
  isOpen: boolean;
  /** Calls made on its handle so far. */
  callCount: number;
}

/** Tells the calls that come from inside a transaction, and would wait for themselves, from those that only have to wait. */
export interface CallerContext {
  /** Runs the function of a transaction. */
  enter<T>(transaction: OpenTransaction, fn: () => Promise<T>): Promise<T>;
  /** True in the function of an open transaction, as far as the platform can tell. */
  isInside(): boolean;
  /** Watches a call that waits for `transaction`, and calls `giveUp` when it must be waiting for itself. Returns the end of the watch. */
  watch?(transaction: OpenTransaction, giveUp: () => void): () => void;
}

/** A function that may await only its handle, and has not called it for so long, waits for something that waits for it. */
const STALL_MS = 1000;

/**
 * For platforms that cannot follow a call through `await`. A nested call before the first `await` is seen at once; a later one is given up
 * when the transaction has made no progress for a second.
 */
export function createPortableContext(): CallerContext {
  let isStarting = false;
  return {
    enter: (_transaction, fn) => {
      isStarting = true;
      try {
        return fn();
      } finally {
        isStarting = false;
      }
    },
    isInside: () => isStarting,
    watch: watchProgress,
  };
}

function watchProgress(transaction: OpenTransaction, giveUp: () => void): () => void {
  let callCount = transaction.callCount;
  const timer = setInterval(() => {
    if (transaction.isOpen && transaction.callCount === callCount) giveUp();
    if (!transaction.isOpen || transaction.callCount === callCount) clearInterval(timer);
    callCount = transaction.callCount;
  }, STALL_MS);
  return () => clearInterval(timer);
}
