import { loadActorFacts } from '../store/actor-facts.ts';
import type { ScopeFacts } from '../store/actor-facts.ts';
import { checkActor, checkScopeInitialized } from './actor-check.ts';
import type { Actor, SyncContext } from './context.ts';
import { withReadTransaction } from './transaction.ts';
import type { WatchHub } from './watch-hub.ts';
import { WatchStream } from './watch-stream.ts';

/** Share of `maxStreamMs` by which streams end at different times, so that clients do not reconnect all at once. */
const LIFETIME_JITTER = 0.1;

/**
 * Opens an event stream of the actor's scope. The stream is subscribed before the head is read, so no commit falls between.
 *
 * @throws SyncError `scope_uninitialized`, `scope_initializing`, `bundle_change_watch_capacity`
 */
export async function openWatch(
  ctx: SyncContext,
  hub: WatchHub,
  actor: Actor,
  afterBundleSeq: bigint,
): Promise<ReadableStream<Uint8Array>> {
  const { scopePk } = await loadWatchedScope(ctx, actor);
  const stream = hub.add(scopePk, () => createStream(ctx, hub, scopePk));
  ctx.emit({ name: 'watchOpened', streams: hub.streamCount });
  try {
    const { head } = await loadWatchedScope(ctx, actor);
    // A shutdown between the gate and here has passed over this stream.
    ctx.lifecycle.checkAccepting();
    endWithClient(ctx.signal, stream);
    stream.open(head, afterBundleSeq);
    return stream.readable;
  } catch (error) {
    stream.end('client');
    throw error;
  }
}

/** Some platforms abort the request of a client that went away without cancelling the body. */
function endWithClient(signal: AbortSignal | undefined, stream: WatchStream): void {
  signal?.throwIfAborted();
  signal?.addEventListener('abort', () => stream.end('client'), { once: true });
}

function loadWatchedScope(ctx: SyncContext, actor: Actor): Promise<ScopeFacts> {
  return withReadTransaction(ctx, 'bundle_change_watch', async (tx) => {
    const facts = await loadActorFacts(tx, ctx.names, actor);
    checkActor(ctx, actor, facts);
    return checkScopeInitialized(facts.scope);
  });
}

function createStream(ctx: SyncContext, hub: WatchHub, scopePk: string): WatchStream {
  const { heartbeatIntervalMs, maxStreamMs } = ctx.options.watch;
  const stream: WatchStream = new WatchStream({
    heartbeatIntervalMs,
    lifetimeMs: maxStreamMs * (1 - LIFETIME_JITTER * Math.random()),
    onEnd: (reason) => {
      hub.remove(scopePk, stream);
      ctx.emit({ name: 'watchClosed', streams: hub.streamCount, reason });
    },
  });
  return stream;
}
