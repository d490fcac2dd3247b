import { LISTENER_RECONNECT_MAX_MS, LISTENER_RECONNECT_MIN_MS } from '../limits.ts';
import type { PgListener, PgResult, PgValue } from '../ports/postgres.ts';
import { parseNoticePayload } from '../rules/notice-payload.ts';
import { selectHeads } from '../store/watch.sql.ts';
import type { MetadataNames } from '../store/metadata.sql.ts';
import type { Logger, ServerEvent } from './events.ts';
import type { WatchHub } from './watch-hub.ts';

interface RelayOptions {
  readonly hub: WatchHub;
  /** Runs one look-up. */
  readonly query: (sql: string, params: readonly PgValue[]) => Promise<PgResult>;
  readonly names: MetadataNames;
  readonly listener: PgListener | undefined;
  readonly channel: string;
  readonly pollIntervalMs: number;
  readonly logger: Logger;
  readonly emit: (event: ServerEvent) => void;
}

/**
 * Brings commits of other processes into the hub: by LISTEN where a direct connection is given, and always by reading the heads of
 * the watched scopes from time to time, which also finds what a lost notification missed.
 */
export class WatchRelay {
  readonly #options: RelayOptions;
  #subscription: { close(): Promise<void> } | undefined;
  #pollTimer: ReturnType<typeof setTimeout> | undefined;
  #reconnectTimer: ReturnType<typeof setTimeout> | undefined;
  #reconnectMs = LISTENER_RECONNECT_MIN_MS;
  #ignoredCount = 0;
  #isStopped = false;

  constructor(options: RelayOptions) {
    this.#options = options;
  }

  start(): void {
    this.#schedulePoll();
    if (this.#options.listener !== undefined) void this.#connect(this.#options.listener);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#pollTimer);
    clearTimeout(this.#reconnectTimer);
    await this.#subscription?.close();
  }

  /** Reads the heads of all watched scopes in one query and publishes them; streams drop what they know. */
  async catchUp(): Promise<void> {
    const scopePks = this.#options.hub.watchedScopePks;
    if (scopePks.length === 0) return;
    try {
      const { rows } = await this.#options.query(selectHeads(this.#options.names), [scopePks]);
      for (const [scopePk, head] of rows) {
        if (typeof scopePk === 'string' && typeof head === 'string')
          this.#options.hub.publish(scopePk, { bundleSeq: BigInt(head) });
      }
    } catch (cause) {
      this.#options.logger.warn('the heads of watched scopes could not be read', { cause });
    }
  }

  #schedulePoll(): void {
    this.#pollTimer = setTimeout(() => {
      void this.catchUp().finally(() => {
        if (!this.#isStopped) this.#schedulePoll();
      });
    }, this.#options.pollIntervalMs);
  }

  async #connect(listener: PgListener): Promise<void> {
    try {
      const subscription = await listener.listen(
        this.#options.channel,
        (payload) => this.#receive(payload),
        (cause) => this.#reconnect(listener, cause),
      );
      if (this.#isStopped) {
        await subscription.close();
        return;
      }
      this.#subscription = subscription;
      this.#reconnectMs = LISTENER_RECONNECT_MIN_MS;
      this.#options.emit({ name: 'listenerState', state: 'listening' });
      await this.catchUp();
    } catch (cause) {
      this.#reconnect(listener, cause);
    }
  }

  #reconnect(listener: PgListener, cause: unknown): void {
    if (this.#isStopped) return;
    this.#subscription = undefined;
    this.#options.emit({ name: 'listenerState', state: 'lost', ...(cause instanceof Error ? { reason: cause.name } : {}) });
    const pauseMs = this.#reconnectMs * (1 - Math.random() / 2);
    this.#reconnectMs = Math.min(LISTENER_RECONNECT_MAX_MS, this.#reconnectMs * 2);
    this.#reconnectTimer = setTimeout(() => void this.#connect(listener), pauseMs);
  }

  #receive(text: string): void {
    const payload = parseNoticePayload(text);
    if (payload === undefined) {
      this.#ignoredCount += 1;
      this.#options.emit({ name: 'notificationIgnored', total: this.#ignoredCount });
      return;
    }
    const { scopePk, bundleSeq, sourceId, sourceBundleId } = payload;
    this.#options.hub.publish(scopePk, { bundleSeq, source: { sourceId, sourceBundleId } });
  }
}
