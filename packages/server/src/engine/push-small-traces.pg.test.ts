import { afterEach, describe, expect, it } from 'vitest';

import { newScope, NOTES_DDL, openTestServer, pushNotes } from '../test-server.ts';
import type { TestServer } from '../test-server.ts';

const AUDIT = `CREATE TABLE business.audit (what text NOT NULL);
  CREATE FUNCTION business.note_statement() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO business.audit VALUES (TG_OP); RETURN NULL; END $$;`;

/** What PostgreSQL runs once per statement, rows or not. */
const PER_STATEMENT = {
  'an AFTER STATEMENT trigger': `CREATE TRIGGER audit AFTER INSERT OR UPDATE ON business.notes EXECUTE FUNCTION business.note_statement()`,
  'a BEFORE STATEMENT trigger': `CREATE TRIGGER audit BEFORE INSERT OR UPDATE ON business.notes EXECUTE FUNCTION business.note_statement()`,
  'a rule': `CREATE RULE audit AS ON INSERT TO business.notes DO ALSO INSERT INTO business.audit VALUES ('INSERT')`,
};

describe('[I5] a small push that is refused leaves nothing behind of', () => {
  let target: TestServer;
  afterEach(() => target.close());

  for (const [name, ddl] of Object.entries(PER_STATEMENT)) {
    it.each([false, true])(`${name} (made while the server runs: %s)`, async (isLate) => {
      target = await openTestServer({ ddl: `${NOTES_DDL} ${AUDIT} ${isLate ? '' : ddl}` });
      const scope = newScope();
      await target.call('POST', '/sync/connect', { scope, body: {} });
      await pushNotes(target, 1, [{ op: 'INSERT', id: 'a' }], { scope });
      await pushNotes(target, 2, [{ op: 'INSERT', id: 'b' }], { scope });
      if (isLate) await target.script(ddl);
      const audited = async () => (await target.query('SELECT count(*) FROM business.audit')).rows[0]?.[0];
      const before = await audited();
      await expect(pushNotes(target, 3, [{ op: 'INSERT', id: 'a' }], { scope })).rejects.toThrow('push_conflict');
      expect(await audited()).toBe(before);
      await pushNotes(target, 3, [{ op: 'INSERT', id: 'c' }], { scope });
      expect(Number(await audited())).toBe(Number(before) + 1);
    });
  }
});
