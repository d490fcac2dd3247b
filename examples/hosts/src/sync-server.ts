import { createSyncServer, type Postgres, type SyncServer } from '@oversync/server';

/** The sync server that all the hosts of this folder mount. `verifyToken` is the application's own. */
export function createNotesServer(database: Postgres, verifyToken: (token: string) => Promise<string | null>): SyncServer {
  return createSyncServer({
    database,
    registeredTables: [{ schema: 'business', table: 'notes', syncKeyColumn: 'id' }],
    resolveActor: async (request) => {
      const user = await verifyToken((request.headers.get('authorization') ?? '').replace(/^Bearer /, ''));
      return user === null ? null : { scopeId: user, userId: user };
    },
    watch: { enabled: true },
  });
}
