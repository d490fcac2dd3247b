import type { Pool } from 'pg';

const RULES = `SELECT conname FROM pg_constraint WHERE conrelid = 'business.users'::regclass
  AND conname IN ('users_name_not_empty', 'users_email_key')`;

const ADD: Readonly<Record<string, string>> = {
  users_name_not_empty: "ALTER TABLE business.users ADD CONSTRAINT users_name_not_empty CHECK (name <> '')",
  users_email_key: `ALTER TABLE business.users ADD CONSTRAINT users_email_key UNIQUE (_sync_scope_id, email) DEFERRABLE INITIALLY DEFERRED`,
};

/**
 * Adds the two rules that `poison-row` breaks where the database lacks them: a server that other clients use may do without. Returns what
 * takes them away again.
 */
export async function addBusinessRules(pool: Pool): Promise<() => Promise<void>> {
  const { rows } = await pool.query<{ conname: string }>(RULES);
  const known = new Set(rows.map((row) => row.conname));
  const missing = Object.entries(ADD).filter(([name]) => !known.has(name));
  for (const [, sql] of missing) await pool.query(sql);
  return async () => {
    for (const [name] of missing) await pool.query(`ALTER TABLE business.users DROP CONSTRAINT IF EXISTS ${name}`);
  };
}
