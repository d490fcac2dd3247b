import { PGlite } from '@electric-sql/pglite';
import { expect, test } from 'vitest';

import { createSyncServer } from './create-sync-server.ts';
import { createPgliteDatabase } from './drivers/pglite.ts';
import { createRequest, NOTES_DDL, NOTES_TABLE, readAnswer } from './test-server.ts';

const WRITER = { writerId: 'writer' };

test('server writes, their guard and the repair of scopes work on PGlite, one transaction at a time', async () => {
  const pglite = await PGlite.create();
  await pglite.exec(NOTES_DDL);
  const server = createSyncServer({
    database: createPgliteDatabase(pglite),
    registeredTables: [NOTES_TABLE],
    resolveActor: () => ({ scopeId: 's' }),
    maintenance: { enabled: false },
  });
  await server.bootstrap();
  const copied = await server.scopes.execWrite('s', WRITER, (tx) =>
    tx.copyFrom('COPY business.notes (id, title) FROM STDIN', [new TextEncoder().encode('a\tfirst\nb\tsecond\n')]),
  );
  expect(copied).toMatchObject({ autoInitialized: true, bundle: { rowCount: 2 } });
  const operation = { ...WRITER, operationId: '0c0f7c1e-6f3b-4d6e-9f0a-3a1f5b2c7d10' };
  const insert = () =>
    server.scopes.execWrite('s', operation, (tx) =>
      tx.query(`INSERT INTO business.notes (id, title) VALUES ($1, $2)`, ['c', 'third']),
    );
  expect([(await insert()).replayed, (await insert()).replayed]).toEqual([false, true]);
  await expect(server.scopes.execWrite('s', WRITER, () => insert())).rejects.toMatchObject({ code: 'callback_violation' });
  await expect(server.scopes.execWrite('s', WRITER, (tx) => tx.script('COMMIT'))).rejects.toMatchObject({
    code: 'callback_violation',
  });
  expect(await server.admin.checkScope('s')).toMatchObject({ isConsistent: true, headBundleSeq: 2n });
  expect(await server.admin.repairScope('s', WRITER)).toEqual({ bundle: undefined });
  const { json } = await readAnswer(await server.fetch(createRequest('GET', '/sync/pull')));
  expect(json.bundles.map(({ row_count: rows }) => rows)).toEqual([2, 1]);
  await server.close();
  await pglite.close();
});
