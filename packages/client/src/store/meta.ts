import type { SqliteTx } from '../ports/sqlite-driver.ts';
import { textColumn } from './columns.ts';

/** A named value of `_oversync_meta`, `null` when it is not stored. */
export async function loadMeta(tx: SqliteTx, name: string): Promise<string | null> {
  const [row] = await tx.all('SELECT value FROM _oversync_meta WHERE name = ?', [name]);
  return row === undefined ? null : textColumn(row, 0);
}

/** Stores a named value; `null` removes it. */
export async function saveMeta(tx: SqliteTx, name: string, value: string | null): Promise<void> {
  if (value === null) await tx.run('DELETE FROM _oversync_meta WHERE name = ?', [name]);
  else await tx.run(SAVE_META, [name, value]);
}

const SAVE_META = 'INSERT INTO _oversync_meta(name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value';
