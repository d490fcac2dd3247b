import type { Postgres } from '../ports/postgres.ts';
import { formatNoticePayload } from '../rules/notice-payload.ts';
import type { CommitPayload } from '../rules/notice-payload.ts';
import type { Logger } from './events.ts';

interface NotifierOptions {
  readonly db: Postgres;
  readonly channel: string;
  readonly debounceMs: number;
  readonly logger: Logger;
}

/**
 * Tells other processes of commits, outside the bundle transaction: PostgreSQL orders the commits of all transactions that notify, so
 * doing it inside would make scopes wait for each other. The first commit of a quiet moment goes out at once; those that follow within
 * the debounce time are merged per scope into one statement.
 */
export class WatchNotifier {
  readonly #options: NotifierOptions;
  readonly #waiting = new Map<string, CommitPayload>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isSending = false;

  constructor(options: NotifierOptions) {
    this.#options = options;
  }

  notify(payload: CommitPayload): void {
    const waiting = this.#waiting.get(payload.scopePk);
    if (waiting === undefined || waiting.bundleSeq < payload.bundleSeq) this.#waiting.set(payload.scopePk, payload);
    if (this.#timer === undefined && !this.#isSending) void this.#send();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#waiting.clear();
  }

  /** A notification that gets lost is found by polling, so a fault is only logged. */
  async #send(): Promise<void> {
    const payloads = [...this.#waiting.values()].map(formatNoticePayload);
    this.#waiting.clear();
    this.#isSending = true;
    try {
      await this.#options.db.query('SELECT pg_notify($1, p) FROM unnest($2::text[]) p', [this.#options.channel, payloads]);
    } catch (cause) {
      this.#options.logger.warn('commits were not notified', { cause });
    }
    this.#isSending = false;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#waiting.size > 0) void this.#send();
    }, this.#options.debounceMs);
  }
}
