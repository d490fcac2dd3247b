import { PgFault } from '../ports/postgres.ts';
import { isTransientFault } from '../rules/pg-faults.ts';

/**
 * Runs a whole transaction again after a fault that may be gone a moment later: installing triggers can deadlock with a commit that
 * is under way in another process. Only for transactions that do no harm when they run twice.
 */
export async function retryTransient<T>(
  retry: { readonly attempts: number; readonly baseMs: number },
  fn: () => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await fn();
    } catch (error) {
      if (!(error instanceof PgFault) || !isTransientFault(error) || attempt >= retry.attempts) throw error;
      const pauseMs = Math.random() * retry.baseMs * 2 ** (attempt - 1);
      await new Promise((resolve) => {
        setTimeout(resolve, pauseMs);
      });
    }
  }
}
