import { createHash } from 'node:crypto';

import { requestRowText } from '@oversync/protocol';
import { expect, test } from 'vitest';

import { newScope, NOTES_DDL, openTestServer, pushNotes } from '../test-server.ts';

/** Lets a commit stop in the middle of applying its rows until the test lets it go on. */
const GATE_DDL = `
CREATE FUNCTION business.wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.title = 'gated' THEN PERFORM pg_advisory_xact_lock_shared(4711); END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER gate BEFORE INSERT ON business.notes FOR EACH ROW EXECUTE FUNCTION business.wait_at_gate();`;

test.each([
  ['active', true],
  ['unknown', false],
])(
  'a source (%s) that is replaced while its commit is running stays retired, and the commit is refused',
  async (_, hasCommitted) => {
    const target = await openTestServer({ ddl: `${NOTES_DDL}${GATE_DDL}` });
    try {
      const scope = newScope();
      await target.call('POST', '/sync/connect', { scope, body: {} });
      if (hasCommitted) await pushNotes(target, 1, [{ op: 'INSERT', id: 'first' }], { scope });
      const row = {
        schema: 'business',
        table: 'notes',
        key: { id: 'k' },
        op: 'INSERT' as const,
        payload: { id: 'k', title: 'gated', amount: null },
      };
      const hash = createHash('sha256')
        .update(`[${requestRowText({ ...row, base_row_version: 0n }, 0)}]`)
        .digest('hex');
      const created = await target.call('POST', '/sync/push-sessions', {
        scope,
        body: { source_bundle_id: hasCommitted ? 2 : 1, planned_row_count: 1, canonical_request_hash: hash },
      });
      const path = `/sync/push-sessions/${created.json.push_id}`;
      await target.call('POST', `${path}/chunks`, {
        scope,
        body: { start_row_ordinal: 0, rows: [{ ...row, base_row_version: 0 }] },
      });

      let committing: ReturnType<typeof target.call> | undefined;
      await target.db.transaction({ isolation: 'read committed' }, async (tx) => {
        await tx.query('SELECT pg_advisory_xact_lock(4711)');
        committing = target.call('POST', `${path}/commit`, { scope });
        for (let isWaiting = false; !isWaiting;) {
          const { rows } = await tx.query(`SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`);
          isWaiting = rows.length > 0;
        }
        const replaced = await target.call('POST', '/sync/snapshot-sessions', {
          scope,
          body: { source_replacement: { previous_source_id: 'device-a', new_source_id: 'device-n', reason: 'history_pruned' } },
        });
        expect(replaced.status).toBe(200);
      });
      const refused = await committing;
      expect([refused?.status, refused?.json]).toMatchObject([
        409,
        { error: 'source_retired', replaced_by_source_id: 'device-n' },
      ]);
      const { rows } = await target.query(`SELECT state, replaced_by_source_id FROM sync.source WHERE source_id = 'device-a'`);
      expect(rows).toStrictEqual([['retired', 'device-n']]);
      expect((await target.query(`SELECT count(*) FROM business.notes WHERE id = 'k'`)).rows).toStrictEqual([['0']]);
    } finally {
      await target.close();
    }
  },
);
