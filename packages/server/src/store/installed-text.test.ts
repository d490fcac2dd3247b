import { createSha256 } from '@oversync/protocol';
import { expect, it } from 'vitest';

import type { CatalogFacts, RelationFact } from '../rules/catalog-facts.ts';
import { planFunctions, planRelations } from './capture-plan.ts';
import type { InstalledTable } from './capture-plan.ts';
import { metadataNames } from './metadata.sql.ts';
import { getMetadataVersion, migrationChecksum, MIGRATIONS } from './migrations.ts';
import { smallPushFunctions } from './small-push-functions.sql.ts';

/**
 * Digest of what a process of each metadata version installs under fixed names, functions of small pushes apart (they carry a hash of
 * their own). Two processes of one version that install different texts put their own in place in turn (adr/0063). So a line is added,
 * together with a migration, and never changed once it was released.
 */
const INSTALLED: Readonly<Record<number, string>> = {
  2: '663a919f8aa741f13baa818c4cdd26fd0865878909c7484202f88aef6c06ab21',
  3: '663a919f8aa741f13baa818c4cdd26fd0865878909c7484202f88aef6c06ab21',
};

/** What each migration says: a released one never changes. */
const MIGRATION_CHECKSUMS: Readonly<Record<number, string>> = {
  1: 'e03865e42a14a240180fe748f73aae263565bfc4187397a5607fe7b19d3d2379',
  2: '90f62bfb3f06f5f8b88cee37eb8b2089deda41fdce69d199fca6bddf7debf6b2',
  3: '13ff50bfb70aa3d6bc24ac35fded2d8978f0d81b85e3172a4a6dc36a9a003e47',
};

const names = metadataNames('sync');

/** Tables of every kind that what is installed depends on. */
const TABLES: readonly InstalledTable[] = ['text', 'uuid'].flatMap((kind, index) =>
  [false, true].map((capturesPushes, other) => {
    const tableId = index * 2 + other + 1;
    return { tableId, keyColumn: 'id', keyKind: kind === 'uuid' ? 'uuid' : 'text', capturesPushes, rootOid: String(tableId) };
  }),
);

/** A root of a registered table; every second one is partitioned and has a partition. */
function relationsOf({ rootOid }: InstalledTable): readonly RelationFact[] {
  const isPartitioned = Number(rootOid) % 2 === 0;
  const root = relation(rootOid, rootOid, isPartitioned ? 'p' : 'r');
  return isPartitioned ? [root, relation(`1${rootOid}`, rootOid, 'r')] : [root];
}

function relation(oid: string, rootOid: string, kind: 'p' | 'r'): RelationFact {
  return {
    oid,
    rootOid,
    schema: 'business',
    name: `t${oid}`,
    kind,
    persistence: 'p',
    isPartition: oid !== rootOid,
    hasInheritance: false,
    rowSecurityActive: false,
    hasRules: false,
    canUseSchema: true,
    canReadAndWrite: true,
    isOwner: true,
    owner: 'owner',
  };
}

/** A database in which nothing is installed. */
const FACTS: CatalogFacts = {
  server: {
    versionNumber: 180_000,
    encoding: 'UTF8',
    role: 'owner',
    database: 'app',
    canCreateSchema: true,
    metadata: {
      schema: 'sync',
      exists: true,
      isEmpty: false,
      canUse: true,
      canCreate: true,
      layout: undefined,
      version: 0,
      readableBy: 0,
    },
  },
  relations: TABLES.flatMap(relationsOf),
  columns: [],
  indexes: [],
  foreignKeys: [],
  triggers: [],
  functions: [],
};

function installedText(): string {
  const isNamedByItsText = (statement: string): boolean =>
    smallPushFunctions(names).some(({ name }) => statement.includes(`FUNCTION ${names.schema}.${name}(`));
  const functions = planFunctions(names, FACTS, TABLES).filter((statement) => !isNamedByItsText(statement));
  const relations = TABLES.flatMap((table) => planRelations(names, FACTS, table)).flatMap(({ statements }) => statements);
  return [...functions, ...relations].join(';\n');
}

function digest(text: string): string {
  const hash = createSha256();
  hash.update(text);
  return hash.digestHex();
}

it('[I11] what is installed changes only together with the version of the metadata', () => {
  const version = getMetadataVersion(MIGRATIONS);
  const found = digest(installedText());
  const advice =
    `Installed functions or triggers say something else than before. Unless version ${version} was never released, add a migration ` +
    `(an empty one will do) to MIGRATIONS, and the line "${version + 1}: '${found}'" to INSTALLED; else put that digest at ${version}.`;
  expect(INSTALLED[version] ?? 'no digest of this version', advice).toBe(found);
});

it('a migration that exists says what it said before', () => {
  const found = Object.fromEntries(MIGRATIONS.map((migration) => [migration.version, migrationChecksum(migration)]));
  expect(found, 'databases hold the checksum of each migration that they went through: add another one instead').toEqual(
    MIGRATION_CHECKSUMS,
  );
});
