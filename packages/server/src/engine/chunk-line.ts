import type { Actor, SyncContext } from './context.ts';

/** The place of one request in the line of its push. */
export interface ChunkPlace {
  /**
   * Resolves when the request before this one has been answered, after `timeoutMs` at the latest; at once where none is under way or
   * another request waits already. Rejects with the reason of `signal`.
   */
  wait(timeoutMs: number, signal?: AbortSignal): Promise<void>;
  /** Lets the next one go on; calling it twice does nothing. */
  leave(): void;
}

/** What one push has under way in this process. */
interface Line {
  /** Settled when the request that came last is answered. */
  last: Promise<void>;
  requestCount: number;
  isAwaited: boolean;
}

/**
 * Chunk requests of one push in the order of their arrival, so that a client can send one chunk ahead of the answer to the last one: it
 * is received and read while that one is staged. One request waits at most; nothing that it waits for decides about it, the session
 * does.
 */
export class ChunkLines {
  readonly #lines = new Map<string, Line>();

  /** Requests of a push that are under way, for tests. */
  count(push: string): number {
    return this.#lines.get(push)?.requestCount ?? 0;
  }

  /** Call when the request arrives, before its body is read. */
  enter(push: string): ChunkPlace {
    const line = this.#lines.get(push) ?? { last: Promise.resolve(), requestCount: 0, isAwaited: false };
    this.#lines.set(push, line);
    const before = line.requestCount === 0 ? undefined : line.last;
    const answered = Promise.withResolvers<void>();
    line.last = answered.promise;
    line.requestCount += 1;
    let isThere = true;
    return {
      wait: async (timeoutMs, signal) => {
        if (before === undefined || line.isAwaited) return;
        line.isAwaited = true;
        try {
          await waitFor(before, timeoutMs, signal);
        } finally {
          line.isAwaited = false;
        }
      },
      leave: () => {
        if (!isThere) return;
        isThere = false;
        answered.resolve();
        line.requestCount -= 1;
        if (line.requestCount === 0) this.#lines.delete(push);
      },
    };
  }
}

function waitFor(event: Promise<void>, timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    };
    const onAbort = (): void => {
      settle();
      reject(signal?.reason);
    };
    const onEnd = (): void => {
      settle();
      resolve();
    };
    const timer = setTimeout(onEnd, timeoutMs);
    signal?.addEventListener('abort', onAbort, { once: true });
    void event.then(onEnd);
    if (signal?.aborted === true) onAbort();
  });
}

/** Takes a place for a chunk of a push of this caller: nobody else can make it wait. */
export function enterChunkLine(ctx: Pick<SyncContext, 'queue'>, actor: Actor, pushId: string): ChunkPlace {
  return getChunkLines(ctx).enter(`${pushId}\0${actor.sourceId}\0${actor.scopeId}`);
}

const byServer = new WeakMap<object, ChunkLines>();

/** The lines of a server; the scope queue stands for the server, as each has exactly one. */
function getChunkLines(ctx: Pick<SyncContext, 'queue'>): ChunkLines {
  let lines = byServer.get(ctx.queue);
  if (lines === undefined) byServer.set(ctx.queue, (lines = new ChunkLines()));
  return lines;
}
