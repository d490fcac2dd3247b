import type { Postgres } from '../ports/postgres.ts';
import { formatNoticePayload } from '../rules/notice-payload.ts';
import type { CommitPayload } from '../rules/notice-payload.ts';
import type { Logger } from './events.ts';

interface NotifierOptions {
  readonly db: Pick<Postgres, 'query'>;
  readonly channel: string;
  readonly debounceMs: number;
  readonly logger: Pick<Logger, 'warn'>;
}

/**
 * Tells other processes of commits, outside the bundle transaction: PostgreSQL orders the commits of all transactions that notify, so
 * doing it inside would make scopes wait for each other. One statement is on its way at most; what comes meanwhile shares the next one. A
 * scope that was just announced rests for the debounce time, so that its further commits become one.
 */
export class WatchNotifier {
  readonly #options: NotifierOptions;
  /** Goes out with the next statement, the newest commit of each scope. */
  readonly #ready = new Map<string, CommitPayload>();
  /** Scopes that rest, each with what has come meanwhile. */
  readonly #resting = new Map<string, CommitPayload | undefined>();
  /** One for each statement of the last debounce time. */
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  #isSending = false;
  #isStopped = false;

  constructor(options: NotifierOptions) {
    this.#options = options;
  }

  notify(payload: CommitPayload): void {
    if (this.#isStopped) return;
    if (this.#resting.has(payload.scopePk)) {
      this.#resting.set(payload.scopePk, newest(this.#resting.get(payload.scopePk), payload));
      return;
    }
    this.#ready.set(payload.scopePk, newest(this.#ready.get(payload.scopePk), payload));
    this.#sendReady();
  }

  stop(): void {
    this.#isStopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#ready.clear();
    this.#resting.clear();
  }

  #sendReady(): void {
    if (this.#isSending || this.#ready.size === 0) return;
    const payloads = [...this.#ready.values()];
    this.#ready.clear();
    this.#rest(payloads.map(({ scopePk }) => scopePk));
    this.#isSending = true;
    void this.#send(payloads.map(formatNoticePayload)).then(() => {
      this.#isSending = false;
      this.#sendReady();
    });
  }

  /** A notification that gets lost is found by polling, so a fault is only logged. */
  async #send(payloads: readonly string[]): Promise<void> {
    try {
      await this.#options.db.query('SELECT pg_notify($1, p) FROM unnest($2::text[]) p', [this.#options.channel, payloads]);
    } catch (cause) {
      this.#options.logger.warn('commits were not notified', { cause });
    }
  }

  #rest(scopePks: readonly string[]): void {
    if (this.#options.debounceMs === 0) return;
    for (const scopePk of scopePks) this.#resting.set(scopePk, undefined);
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.#wake(scopePks);
    }, this.#options.debounceMs);
    this.#timers.add(timer);
  }

  #wake(scopePks: readonly string[]): void {
    for (const scopePk of scopePks) {
      const payload = this.#resting.get(scopePk);
      this.#resting.delete(scopePk);
      if (payload !== undefined) this.#ready.set(scopePk, payload);
    }
    this.#sendReady();
  }
}

function newest(known: CommitPayload | undefined, payload: CommitPayload): CommitPayload {
  return known === undefined || known.bundleSeq < payload.bundleSeq ? payload : known;
}
