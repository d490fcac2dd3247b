import { createSha256 } from '@oversync/protocol';

import type { PgTransaction } from '../ports/postgres.ts';
import { metadataDdl, metadataNames } from './metadata.sql.ts';
import type { MetadataNames } from './metadata.sql.ts';
import { RowReader } from './row-reader.ts';

/** Marks a schema as ours; the Go server's schema of the same name has no such table. */
export const METADATA_LAYOUT = 'oversync-typescript';

/**
 * One forward step of the metadata schema. It must leave the previous released version working while both run: add first,
 * remove in a later release. A release that changes what installed functions or triggers say has one too, with an empty text if
 * need be: processes of older versions leave those of a newer schema alone.
 */
export interface Migration {
  readonly version: number;
  readonly name: string;
  /** Lowest schema version of a process that can still work with the schema once this step has been made. */
  readonly readableBy: number;
  readonly sql: (m: MetadataNames) => string;
}

/** The schema names from this version on who can read it. */
const LEVEL_VERSION = 2;

/** In order; a released entry never changes, which the stored checksum proves. */
export const MIGRATIONS: readonly Migration[] = [
  { version: 1, name: 'initial layout', readableBy: 1, sql: metadataDdl },
  { version: LEVEL_VERSION, name: 'the lowest version that can read the schema', readableBy: 1, sql: addReadableBy },
  { version: 3, name: 'no checks on tables that every push updates', readableBy: 1, sql: dropHotChecks },
];

/** The schema has been readable by any process so far. */
function addReadableBy(m: MetadataNames): string {
  return `ALTER TABLE ${m.meta} ADD COLUMN readable_by int4 NOT NULL DEFAULT 1`;
}

/**
 * PostgreSQL reads the CHECK constraints of a table from their text and prepares them anew for every statement that updates it, which took
 * longer than the update. States, kinds and the order of floor and head are what our statements write, under the lock of the scope.
 */
function dropHotChecks(m: MetadataNames): string {
  const drop = (names: readonly string[]): string => names.map((name) => `DROP CONSTRAINT IF EXISTS ${name}`).join(', ');
  return (
    `ALTER TABLE ${m.scope} ${drop(['scope_state_check', 'scope_head_check', 'scope_check', 'scope_check1'])};` +
    `ALTER TABLE ${m.source} ${drop(['source_state_check', 'source_kind_check'])}`
  );
}

/** The version that a schema has when all of them are applied. */
export function getMetadataVersion(migrations: readonly Migration[]): number {
  return migrations.length;
}

/** SHA-256 of the migration's statements under a fixed schema name, so that every deployment has the same. */
export function migrationChecksum(migration: Migration): string {
  const hash = createSha256();
  hash.update(migration.sql(metadataNames('sync')));
  return hash.digestHex();
}

/** A stored migration that was made from other statements than the code's of the same version. */
export function hasChangedMigration(applied: readonly AppliedMigration[], migrations: readonly Migration[]): boolean {
  return applied.some(({ version, checksum }) => {
    const known = migrations.find((migration) => migration.version === version);
    return known !== undefined && migrationChecksum(known) !== checksum;
  });
}

export interface AppliedMigration {
  readonly version: number;
  readonly checksum: string;
}

export async function loadAppliedMigrations(tx: PgTransaction, m: MetadataNames): Promise<readonly AppliedMigration[]> {
  const { rows } = await tx.query(`SELECT version, checksum FROM ${m.migration} ORDER BY version`);
  return rows.map((row) => {
    const reader = new RowReader(row);
    return { version: reader.int(), checksum: reader.text() };
  });
}

/** Applies what is above `fromVersion` (0 for an absent schema) inside the caller's transaction. */
export async function applyMigrations(
  tx: PgTransaction,
  m: MetadataNames,
  migrations: readonly Migration[],
  fromVersion: number,
): Promise<readonly Migration[]> {
  const pending = migrations.filter((migration) => migration.version > fromVersion);
  for (const migration of pending) {
    await tx.script(migration.sql(m));
    if (migration.version === 1) await saveMeta(tx, m);
    await tx.query(`INSERT INTO ${m.migration} (version, name, checksum) VALUES ($1::int4, $2, $3)`, [
      String(migration.version),
      migration.name,
      migrationChecksum(migration),
    ]);
  }
  if (pending.length > 0) await saveVersion(tx, m, migrations);
  return pending;
}

/** Who cannot read one of the steps cannot read the schema, whatever came later. */
async function saveVersion(tx: PgTransaction, m: MetadataNames, migrations: readonly Migration[]): Promise<void> {
  const version = getMetadataVersion(migrations);
  await tx.query(`UPDATE ${m.meta} SET version = $1::int4`, [String(version)]);
  if (version < LEVEL_VERSION) return;
  const readableBy = Math.max(...migrations.map((migration) => migration.readableBy));
  await tx.query(`UPDATE ${m.meta} SET readable_by = $1::int4`, [String(readableBy)]);
}

/**
 * How a process of these migrations stands to a schema of ours: `follow` works with what a newer release has made, and makes nothing
 * itself; `outdated` cannot even read it.
 */
export function compareMetadata(
  { version, readableBy }: { readonly version: number; readonly readableBy: number },
  migrations: readonly Migration[],
): 'own' | 'follow' | 'outdated' {
  const known = getMetadataVersion(migrations);
  if (version <= known) return 'own';
  return readableBy <= known ? 'follow' : 'outdated';
}

async function saveMeta(tx: PgTransaction, m: MetadataNames): Promise<void> {
  const secret = crypto.getRandomValues(new Uint8Array(32));
  await tx.query(`INSERT INTO ${m.meta} (layout, version, token_secret) VALUES ($1, 0, $2)`, [METADATA_LAYOUT, secret]);
}

export async function loadTokenSecret(tx: PgTransaction, m: MetadataNames): Promise<Uint8Array<ArrayBuffer>> {
  const { rows } = await tx.query(`SELECT encode(token_secret, 'hex') FROM ${m.meta}`);
  const hex = rows[0]?.[0];
  if (typeof hex !== 'string') throw new TypeError('the metadata schema has no token secret');
  return Uint8Array.from({ length: hex.length / 2 }, (_, index) => Number.parseInt(hex.slice(index * 2, index * 2 + 2), 16));
}
