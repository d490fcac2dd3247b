import { PGlite } from '@electric-sql/pglite';
import { expect, test } from 'vitest';

import { createSyncServer } from './create-sync-server.ts';
import { createPgliteDatabase } from './drivers/pglite.ts';
import { createRequest, NOTES_DDL, NOTES_TABLE, pushNotes, readAnswer } from './test-server.ts';
import type { CallOptions } from './test-server.ts';

test('a whole server runs on PGlite: push, pull, committed rows, snapshot, maintenance', async () => {
  const pglite = await PGlite.create();
  await pglite.exec(NOTES_DDL);
  const server = createSyncServer({
    database: createPgliteDatabase(pglite),
    registeredTables: [NOTES_TABLE],
    resolveActor: () => ({ scopeId: 's' }),
    maintenance: { enabled: false },
  });
  const call = async (method: string, path: string, options?: CallOptions) =>
    readAnswer(await server.fetch(createRequest(method, path, options)));
  try {
    await server.bootstrap();
    await call('POST', '/sync/connect', { body: {} });
    await pushNotes({ call }, 1, [
      { op: 'INSERT', id: 'é', amount: '9007199254740993' },
      { op: 'INSERT', id: 'b' },
    ]);
    await pushNotes({ call }, 2, [{ op: 'DELETE', id: 'b', base: 1 }]);
    expect((await call('GET', '/sync/pull')).json).toMatchObject({
      stable_bundle_seq: 2,
      bundles: [{ row_count: 2 }, { row_count: 1 }],
    });
    expect((await call('GET', '/sync/committed-bundles/1/rows')).text).toContain('"amount":"9007199254740993"');
    const { json } = await call('POST', '/sync/snapshot-sessions');
    expect((await call('GET', `/sync/snapshot-sessions/${json.snapshot_id}`)).json).toMatchObject({
      rows: [{ key: { id: 'é' } }],
      has_more: false,
    });
    await server.maintain();
  } finally {
    await server.close();
    await pglite.close();
  }
});
