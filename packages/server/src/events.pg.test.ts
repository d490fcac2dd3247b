import { afterAll, beforeAll, expect, test, vi } from 'vitest';

import type { SyncServer } from './create-sync-server.ts';
import { createPgListener } from './drivers/pg.ts';
import { WATCH_DEFAULTS } from './limits.ts';
import { SAMPLE_EVENTS } from './metrics/test-events.ts';
import { PgFault } from './ports/postgres.ts';
import type { Postgres } from './ports/postgres.ts';
import { createRequest, newScope, NOTES_DDL, NOTES_TABLE, openTestServer, pushNotes, readAnswer } from './test-server.ts';
import type { CallOptions, TestServer } from './test-server.ts';

const EXTRA_TABLE = { schema: 'business', table: 'extra', syncKeyColumn: 'id' } as const;
const DDL = `${NOTES_DDL}
CREATE TABLE business.extra (_sync_scope_id text NOT NULL, id text NOT NULL, PRIMARY KEY (_sync_scope_id, id));
INSERT INTO business.extra VALUES ('adopted', 'a');`;

let target: TestServer;
beforeAll(async () => {
  target = await openTestServer({ ddl: DDL, bindSourcesToUser: true, watch: { enabled: true } });
});
afterAll(() => target.close());

const scope = newScope();
const call = (method: string, path: string, options: CallOptions = {}) =>
  target.call(method, path, { scope, user: 'ada', ...options });
const callAt = async (server: SyncServer, method: string, path: string, options: CallOptions = {}) =>
  readAnswer(await server.fetch(createRequest(method, path, { scope, user: 'ada', ...options })));

/** Fails the next transactions that write with the given faults. */
function failing(db: Postgres, faults: PgFault[]): Postgres {
  return {
    features: db.features,
    query: (sql, params) =>
      faults.length > 0 ? Promise.reject(new PgFault('gone', { sqlState: '08006' })) : db.query(sql, params),
    transaction: (begin, fn) => {
      const fault = begin.readOnly === true ? undefined : faults.shift();
      return fault === undefined ? db.transaction(begin, fn) : Promise.reject(fault);
    },
  };
}

/** What has to happen for each event, in an order in which it can. */
const occasions: readonly (() => Promise<unknown>)[] = [
  async function pushes() {
    await call('POST', '/sync/connect', { body: {} });
    await pushNotes({ call }, 1, [{ op: 'INSERT', id: 'a' }]);
    const again = pushNotes({ call }, 1, [{ op: 'INSERT', id: 'a' }]);
    await expect(again).rejects.toThrow('already_committed');
    await expect(pushNotes({ call }, 2, [{ op: 'INSERT', id: 'a' }])).rejects.toThrow('push_conflict');
    await expect(pushNotes({ call }, 2, [{ op: 'INSERT', id: 'b', amount: 'x' }])).rejects.toThrow('push_chunk_invalid');
    const twice: TestServer['call'] = async (method, path, options) => {
      if (path.endsWith('/chunks')) await call(method, path, options);
      return call(method, path, options);
    };
    await pushNotes({ call: twice }, 2, [{ op: 'INSERT', id: 'b' }]);
  },
  async function reads() {
    await call('GET', '/sync/pull');
    await call('GET', '/sync/committed-bundles/1/rows');
    await call('GET', '/sync/pull?after_bundle_seq=999');
    await target.query('UPDATE sync.scope SET floor = 1 WHERE scope_id = $1', [scope]);
    await call('GET', '/sync/pull');
  },
  async function snapshots() {
    const { json } = await call('POST', '/sync/snapshot-sessions');
    await call('POST', '/sync/snapshot-sessions');
    await call('GET', `/sync/snapshot-sessions/${json.snapshot_id}`);
    await callAt(await target.second({ maxRowsPerSnapshotSession: 1 }), 'POST', '/sync/snapshot-sessions', {
      source: 'device-x',
    });
    const replacement = { previous_source_id: 'device-b', new_source_id: 'device-c', reason: 'history_pruned' };
    await call('POST', '/sync/snapshot-sessions', { source: 'device-b', body: { source_replacement: replacement } });
  },
  async function actors() {
    await call('GET', '/sync/pull', { user: 'eve' });
    await callAt(await target.second({ resolveActor: () => ({ scopeId: ' ' }) }), 'GET', '/sync/pull');
  },
  async function watches() {
    const listening = await target.second({
      watch: { enabled: true },
      listenDatabase: createPgListener({ connectionString: target.url }),
    });
    const response = await listening.fetch(createRequest('GET', '/sync/watch', { scope, user: 'ada' }));
    await vi.waitFor(() => expect(target.events).toContainEqual({ name: 'listenerState', state: 'listening' }));
    await target.query(`SELECT pg_notify('${WATCH_DEFAULTS.notifyChannel}', 'not ours')`);
    await vi.waitFor(() => expect(target.events).toContainEqual({ name: 'notificationIgnored', total: 1 }));
    await response.body?.cancel();
  },
  async function faults() {
    const queue: PgFault[] = [];
    const shaky = await target.second({ database: failing(target.db, queue), retry: { attempts: 2, baseMs: 1 } });
    queue.push(new PgFault('busy', { sqlState: '40001' }), new PgFault('busy', { sqlState: '40001' }));
    await callAt(shaky, 'POST', '/sync/connect', { scope: newScope(), body: { has_local_pending_rows: true } });
    queue.push(new PgFault('gone', { sqlState: '08006', commitSent: true }));
    const write = shaky.scopes.execWrite(newScope(), { writerId: 'billing' }, (tx) => tx.query('SELECT 1'));
    await expect(write).rejects.toMatchObject({ code: 'commit_outcome_unknown' });
  },
  async function changes() {
    await target.query(`DELETE FROM sync.row_state WHERE key_bytes = convert_to('b', 'UTF8')`);
    await target.server.admin.checkScope(scope);
    await target.server.admin.repairScope(scope, { writerId: 'repair' });
    await target.script('ALTER TABLE business.notes ADD COLUMN extra text');
    await expect(pushNotes({ call }, 3, [{ op: 'UPDATE', id: 'a', base: 1, amount: 'x' }])).rejects.toThrow('push_chunk_invalid');
    await target.second({ catalogRefreshIntervalMs: 1 });
    await vi.waitFor(() => expect(target.events.map(({ name }) => name)).toContain('catalogChanged'), { timeout: 5000 });
    await target.second({ registeredTables: [NOTES_TABLE, EXTRA_TABLE] });
  },
  async function maintenance() {
    for (let write = 0; write < 2; write += 1)
      await expect(target.query(`INSERT INTO business.notes VALUES ('s', 'k', 't')`)).rejects.toMatchObject({
        sqlState: 'OV001',
      });
    await target.server.maintain();
    await target.server.maintain();
  },
];

test('[O7] every event that the type knows happens in a real server', { timeout: 30_000 }, async () => {
  for (const occasion of occasions) await occasion();
  const names = new Set(target.events.map(({ name }) => name));
  expect([...names].sort()).toStrictEqual(Object.keys(SAMPLE_EVENTS).sort());
  const refusals = target.events.filter(({ name }) => name === 'registeredWriteRejected');
  expect(refusals).toStrictEqual([{ name: 'registeredWriteRejected', count: 2 }]);
  const refused = target.events.flatMap((event) => (event.name === 'snapshotRejected' ? [event.code] : []));
  expect(refused).toStrictEqual(['snapshot_session_limit_exceeded']);
});
