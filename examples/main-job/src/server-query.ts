import type { DevPostgres } from '@oversync/dev-postgres';
import { Pool } from 'pg';

import type { QueryText } from './postgres-dump.ts';

export interface ServerQuery {
  readonly query: QueryText;
  close(): Promise<void>;
}

/** Plain SQL on the server's database, over a connection of its own: the proof does not trust the sync server. */
export function openServerQuery(postgres: DevPostgres): ServerQuery {
  if (postgres.kind === 'pglite') {
    const { database } = postgres;
    return {
      query: async (sql, params) => {
        const { rows } = await database.query<(string | null)[]>(sql, [...params], { rowMode: 'array' });
        return rows;
      },
      close: () => Promise.resolve(),
    };
  }
  const pool = new Pool({ connectionString: postgres.url, max: 1 });
  return {
    query: async (sql, params) =>
      (await pool.query<(string | null)[]>({ text: sql, values: [...params], rowMode: 'array' })).rows,
    close: () => pool.end(),
  };
}
