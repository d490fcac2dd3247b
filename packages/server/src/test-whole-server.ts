/** One tour through a whole server, for databases that are reached in different ways: every kind of transaction, under concurrency. */
import { expect } from 'vitest';

import { createSyncServer } from './create-sync-server.ts';
import type { Postgres } from './ports/postgres.ts';
import { createRequest, manyNotes, newScope, NOTES_DDL, NOTES_TABLE, pushNotes, readAnswer } from './test-server.ts';
import type { Answer, CallOptions } from './test-server.ts';

/** Rows of the large push: more than a chunk, and enough for COPY. */
const LARGE_PUSH_ROWS = 1500;

/** Scopes that are toured at the same time. */
const SCOPES = 4;

/** Makes the schema in an empty database, runs the tour in several scopes at once, and closes the server. */
export async function tourServer(database: Postgres): Promise<void> {
  await database.transaction({ isolation: 'read committed' }, (tx) => tx.script(NOTES_DDL));
  const server = createSyncServer({
    database,
    registeredTables: [NOTES_TABLE],
    resolveActor: (request) => ({ scopeId: request.headers.get('authorization') ?? '' }),
    maintenance: { enabled: false },
  });
  try {
    await server.bootstrap();
    const scopes = Array.from({ length: SCOPES }, newScope);
    await Promise.all(
      scopes.map(async (scope) => {
        const call = async (method: string, path: string, options?: CallOptions): Promise<Answer> =>
          readAnswer(await server.fetch(createRequest(method, path, { ...options, scope })));
        await tourClient(call);
        await server.scopes.execWrite(scope, { writerId: 'host' }, async (tx) => {
          await tx.copyFrom('COPY business.notes (_sync_scope_id, id, title) FROM STDIN', [
            new TextEncoder().encode(`${scope}\tby copy\tx\n`),
          ]);
          await tx.query('UPDATE business.notes SET amount = $1 WHERE _sync_scope_id = $2 AND id = $3', ['7', scope, 'by copy']);
        });
        const { json, text } = await call('GET', '/sync/pull?after_bundle_seq=3');
        expect([json.stable_bundle_seq, json.bundles.length, text.includes('"amount":"7"')]).toStrictEqual([4, 1, true]);
        expect(await server.admin.checkScope(scope)).toMatchObject({ isConsistent: true });
      }),
    );
    await server.maintain();
  } finally {
    await server.close();
  }
}

type Call = (method: string, path: string, options?: CallOptions) => Promise<Answer>;

async function tourClient(call: Call): Promise<void> {
  await call('POST', '/sync/connect', { body: {} });
  await pushNotes({ call }, 1, manyNotes(LARGE_PUSH_ROWS));
  await pushNotes({ call }, 2, [{ op: 'INSERT', id: 'é', amount: '9007199254740993', title: 'quote " and \\ and\nnewline' }]);
  await pushNotes({ call }, 3, [{ op: 'DELETE', id: 'n-000000', base: 1 }]);
  await expect(pushNotes({ call }, 4, [{ op: 'UPDATE', id: 'n-000001', base: 99 }])).rejects.toThrow('push_conflict');
  await expect(pushNotes({ call }, 4, [{ op: 'INSERT', id: 'far', amount: '9223372036854775808' }])).rejects.toThrow(
    'out_of_range',
  );
  const { json } = await call('GET', '/sync/pull');
  expect(json.bundles.map((bundle) => bundle.row_count)).toStrictEqual([LARGE_PUSH_ROWS, 1, 1]);
  expect((await call('GET', '/sync/committed-bundles/2/rows')).text).toContain('"amount":"9007199254740993"');
  const snapshot = await call('POST', '/sync/snapshot-sessions');
  expect(snapshot.json.row_count).toBe(LARGE_PUSH_ROWS);
  const ids: string[] = [];
  for (let after = 0, hasMore = true; hasMore;) {
    const page = await call('GET', `/sync/snapshot-sessions/${snapshot.json.snapshot_id}?after_row_ordinal=${String(after)}`);
    ids.push(...page.json.rows.map((row) => row.key.id));
    hasMore = page.json.has_more;
    after = page.json.next_row_ordinal;
  }
  expect(new Set(ids).size).toBe(LARGE_PUSH_ROWS);
}
