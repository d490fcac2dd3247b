import { createSyncServer, type SyncServer } from '@oversync/server';
import { createPgDatabase } from '@oversync/server/pg';
import { Pool } from 'pg';

/** Two synchronised tables, and one that only the server sees. */
const SHOP_SCHEMA_SQL = `
CREATE SCHEMA IF NOT EXISTS shop;
CREATE TABLE IF NOT EXISTS shop.products (
  _sync_scope_id text NOT NULL, id text NOT NULL, name text NOT NULL, price numeric(12, 2) NOT NULL,
  PRIMARY KEY (_sync_scope_id, id)
);
CREATE TABLE IF NOT EXISTS shop.invoices (
  _sync_scope_id text NOT NULL, id text NOT NULL, month text NOT NULL, total numeric(12, 2) NOT NULL,
  PRIMARY KEY (_sync_scope_id, id)
);
CREATE TABLE IF NOT EXISTS shop.ledger (entry bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tenant text NOT NULL, amount numeric(12, 2) NOT NULL);`;

/** Source ids of the server's own writers: refused to clients, so that no device can pose as one. */
export const WRITERS = { admin: 'shop-admin', billing: 'shop-billing', seeder: 'shop-seeder' } as const;

export interface Shop {
  readonly server: SyncServer;
  readonly close: () => Promise<void>;
}

/** A sync server for the shop; the tenant's name in the Authorization header stands for real authentication. */
export async function openShop(databaseUrl: string): Promise<Shop> {
  const pool = new Pool({ connectionString: databaseUrl, max: 5 });
  await pool.query(SHOP_SCHEMA_SQL);
  const server = createSyncServer({
    database: createPgDatabase(pool),
    registeredTables: [
      { schema: 'shop', table: 'products', syncKeyColumn: 'id' },
      { schema: 'shop', table: 'invoices', syncKeyColumn: 'id' },
    ],
    reservedSourceIds: Object.values(WRITERS),
    resolveActor: (request) => {
      const tenant = request.headers.get('authorization');
      return tenant === null ? null : { scopeId: tenant };
    },
  });
  await server.bootstrap();
  return {
    server,
    close: async () => {
      await server.close();
      await pool.end();
    },
  };
}
