import { createSyncServer, type SyncServer } from '@oversync/server';
import { createPgDatabase } from '@oversync/server/pg';
import { Pool } from 'pg';

/** Two tables that were in use long before anybody thought of sync. */
export const POPULATED_DDL = `
CREATE SCHEMA business;
CREATE TABLE business.notes (
  _sync_scope_id text NOT NULL, id text NOT NULL, title text NOT NULL, amount numeric, at timestamptz, PRIMARY KEY (_sync_scope_id, id)
);
CREATE TABLE business.tags (_sync_scope_id text NOT NULL, id uuid NOT NULL, label text, PRIMARY KEY (_sync_scope_id, id));`;

export interface AdoptionServer {
  readonly server: SyncServer;
  readonly close: () => Promise<void>;
}

/** A server whose host refuses to adopt at start, so that adoption runs when an operator asks for it. */
export function openAdoptionServer(databaseUrl: string): AdoptionServer {
  const pool = new Pool({ connectionString: databaseUrl, max: 4 });
  pool.on('error', () => undefined);
  const server = createSyncServer({
    database: createPgDatabase(pool),
    registeredTables: [
      { schema: 'business', table: 'notes', syncKeyColumn: 'id' },
      { schema: 'business', table: 'tags', syncKeyColumn: 'id' },
    ],
    resolveActor: (request) => ({ scopeId: request.headers.get('authorization') ?? '' }),
    adoption: 'refuse',
    maintenance: { enabled: false },
  });
  return {
    server,
    close: async () => {
      await server.close();
      await pool.end();
    },
  };
}
