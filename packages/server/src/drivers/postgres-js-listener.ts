import postgres from 'postgres';

import type { PgListener } from '../ports/postgres.ts';
import { toPgFault } from './postgres-js-faults.ts';

/** Connection settings of postgres.js. They must name PostgreSQL itself, not a pooler in transaction mode. */
export type PostgresJsListenerOptions = postgres.Options<Record<string, postgres.PostgresType>>;

/**
 * One dedicated connection for LISTEN through postgres.js. `sql.listen` of postgres.js is not used, because it connects again by itself
 * and does not tell what was missed meanwhile.
 *
 * @example
 * ```ts
 * const listenDatabase = createPostgresJsListener(process.env['DATABASE_DIRECT_URL'] ?? '');
 * ```
 */
export function createPostgresJsListener(url: string, options: PostgresJsListenerOptions = {}): PgListener {
  return {
    listen: async (channel, onPayload, onEnd) => {
      let hasEnded = false;
      const end = (): void => {
        if (hasEnded) return;
        hasEnded = true;
        onEnd();
        void close();
      };
      // Not in the types of postgres.js, which uses it for its own listeners in the same way.
      const onnotify = (name: string, payload: string): void => {
        if (name === channel && !hasEnded) onPayload(payload);
      };
      const connection = { max: 1, max_lifetime: null, idle_timeout: 0, fetch_types: false, prepare: false, onnotify };
      const sql = postgres(url, { ...options, ...connection, onclose: end });
      const close = (): Promise<void> => sql.end({ timeout: 0 }).catch(() => {});
      try {
        await sql.unsafe(`LISTEN "${channel.replaceAll('"', '""')}"`);
      } catch (error) {
        hasEnded = true;
        await close();
        throw toPgFault(error, 'connect');
      }
      return {
        close: async () => {
          hasEnded = true;
          await close();
        },
      };
    },
  };
}
