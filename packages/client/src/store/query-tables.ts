import type { SqliteTx, SqlValue } from '../ports/sqlite-driver.ts';
import type { ProgramStep, SchemaRoots, TouchedTables } from '../rules/touched-tables.ts';
import { touchedTables } from '../rules/touched-tables.ts';
import { LOAD_SCHEMA_ROOTS, LOAD_SCHEMA_VERSION, LOAD_VIRTUAL_TABLES } from './query-tables.sql.ts';

/** The version of the schema: changes with every CREATE, ALTER, DROP and VACUUM, of any connection. */
export async function loadSchemaVersion(tx: SqliteTx): Promise<number> {
  return Number((await tx.all(LOAD_SCHEMA_VERSION))[0]?.[0]);
}

/** The b-trees of the schema. */
export async function loadSchemaRoots(tx: SqliteTx): Promise<SchemaRoots> {
  const rows = await tx.all(LOAD_SCHEMA_ROOTS);
  const virtualTables = (await tx.all(LOAD_VIRTUAL_TABLES)).map((row) => String(row[0]));
  const roots = rows.map(([database, rootPage, table]) => ({
    database: Number(database),
    rootPage: Number(rootPage),
    table: String(table),
  }));
  return { roots, virtualTables };
}

/**
 * The tables of one statement. Rejects like the statement itself when it is not valid SQL. The version makes the text a new one after a
 * change of the schema: a driver that keeps prepared statements would show the program made for the old schema.
 */
export async function loadTouchedTables(
  tx: SqliteTx,
  sql: string,
  params: readonly SqlValue[],
  schema: SchemaRoots,
  schemaVersion: number,
): Promise<TouchedTables> {
  const rows = await tx.all(`EXPLAIN /* ${schemaVersion} */ ${sql}`, params);
  return touchedTables(rows.map(programStep), schema);
}

/** Columns of EXPLAIN: addr, opcode, p1, p2, p3, p4, p5, comment. */
function programStep(row: readonly SqlValue[]): ProgramStep {
  return { opcode: String(row[1]), p1: Number(row[2]), p2: Number(row[3]), p3: Number(row[4]), p5: Number(row[6]) };
}
