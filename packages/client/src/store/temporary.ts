import { MEMORY_JOURNAL_DATABASE_BYTES_MAX } from '../limits.ts';
import type { SqliteDriver } from '../ports/sqlite-driver.ts';
import type { LocalSchemaConfig } from '../rules/local-schema.ts';
import { ATTACH_WORK, IS_WORK_ATTACHED } from './work-tables.sql.ts';

/**
 * Where SQLite keeps what is not to last (docs/adr/0059): the work tables in a file that appears when they are large, statement journals in
 * memory while the database is small. A statement journal never holds more than the database did when the statement began.
 */
export async function prepareTemporary(driver: SqliteDriver, config: LocalSchemaConfig): Promise<void> {
  if ((await driver.all(IS_WORK_ATTACHED)).length === 0) await driver.exec(ATTACH_WORK);
  const wanted = config.pragmas?.tempStore ?? ((await isMemoryBounded(driver)) ? 'memory' : undefined);
  if (wanted !== undefined) await driver.exec(`PRAGMA temp_store = ${wanted === 'memory' ? 'MEMORY' : 'FILE'}`);
}

/** The setting of the application stays, and so do its temporary tables, which a change would drop. */
async function isMemoryBounded(driver: SqliteDriver): Promise<boolean> {
  const [setting] = await driver.all('PRAGMA temp_store');
  if (Number(setting?.[0]) !== TEMP_STORE_UNSET) return false;
  const [facts] = await driver.all(TEMPORARY_FACTS);
  return Number(facts?.[0]) === 0 && Number(facts?.[1]) <= MEMORY_JOURNAL_DATABASE_BYTES_MAX;
}

const TEMP_STORE_UNSET = 0;

/** Temporary tables and triggers of the connection, bytes of the database. */
const TEMPORARY_FACTS = `
SELECT (SELECT count(*) FROM sqlite_temp_master), (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size)`;
