import { afterAll, beforeAll, expect, test } from 'vitest';

import { manyNotes, newScope, openTestServer, pushNotes } from './test-server.ts';
import type { TestServer } from './test-server.ts';

/** Long enough that the server never looks at the catalog by itself. */
const NEVER_MS = 2_000_000_000;

let target: TestServer;
beforeAll(async () => {
  target = await openTestServer({ catalogRefreshIntervalMs: NEVER_MS });
});
afterAll(() => target.close());

const TRIGGER = `
CREATE FUNCTION business.shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.title := upper(NEW.title); RETURN NEW; END $$;
CREATE TRIGGER shout BEFORE INSERT OR UPDATE ON business.notes FOR EACH ROW EXECUTE FUNCTION business.shout();`;

/** Titles as a device pulls them, and as they stand in the table. */
async function titles(scope: string): Promise<readonly [readonly string[], readonly string[]]> {
  const { json } = await target.call('GET', '/sync/pull', { scope });
  const rows = json.bundles.flatMap((bundle) => bundle.rows) as unknown as readonly {
    readonly payload: { readonly title: string };
  }[];
  const stored = await target.query('SELECT title FROM business.notes WHERE _sync_scope_id = $1', [scope]);
  return [rows.map(({ payload }) => payload.title).sort(), stored.rows.map(([title]) => title ?? '').sort()];
}

test('[I11] a trigger that came a moment ago is seen by the next push, whatever its size: history says what the table holds', async () => {
  const scopes = [1, 2, 300].map((rowCount) => ({ scope: newScope(), rowCount }));
  const push = async (turn: number): Promise<void> => {
    for (const { scope, rowCount } of scopes)
      await pushNotes(target, turn, manyNotes(rowCount, `turn-${String(turn)}`), { scope });
  };
  for (const { scope } of scopes) await target.call('POST', '/sync/connect', { scope, body: {} });
  await push(1);
  await target.script(TRIGGER);
  for (let turn = 2; turn <= 4; turn += 1) await push(turn);
  for (const { scope, rowCount } of scopes) {
    const [pulled, stored] = await titles(scope);
    expect(pulled).toStrictEqual(stored);
    expect(stored.filter((title) => title.startsWith('TITLE'))).toHaveLength(3 * rowCount);
  }
  await target.script('DROP TRIGGER shout ON business.notes');
  await push(5);
  for (const { scope } of scopes) {
    const [pulled, stored] = await titles(scope);
    expect(pulled).toStrictEqual(stored);
  }
});
