import { Client, escapeIdentifier } from 'pg';
import type { ClientConfig } from 'pg';

import type { PgListener } from '../ports/postgres.ts';
import { toPgFault } from './pg-faults.ts';

/** Connection settings of node-postgres. They must name PostgreSQL itself, not a pooler in transaction mode. */
export type PgListenerConfig = ClientConfig;

/**
 * One dedicated connection for LISTEN, so that watch streams hear of commits of other processes at once. Without it they are
 * found by polling.
 *
 * @example
 * ```ts
 * const listenDatabase = createPgListener({ connectionString: process.env['DATABASE_DIRECT_URL'] });
 * ```
 */
export function createPgListener(config: PgListenerConfig): PgListener {
  return {
    listen: async (channel, onPayload, onEnd) => {
      const client = new Client({ keepAlive: true, ...config });
      let hasEnded = false;
      const end = (cause?: unknown): void => {
        if (hasEnded) return;
        hasEnded = true;
        onEnd(cause);
      };
      client.on('error', (error) => {
        end(toPgFault(error));
        void client.end().catch(() => {});
      });
      client.on('end', () => end());
      client.on('notification', (notification) => {
        if (notification.channel === channel) onPayload(notification.payload ?? '');
      });
      try {
        await client.connect();
        await client.query(`LISTEN ${escapeIdentifier(channel)}`);
      } catch (error) {
        hasEnded = true;
        await client.end().catch(() => {});
        throw toPgFault(error, 'connect');
      }
      return {
        close: async () => {
          hasEnded = true;
          await client.end().catch(() => {});
        },
      };
    },
  };
}
