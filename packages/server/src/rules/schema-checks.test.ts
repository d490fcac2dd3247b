import { describe, expect, it } from 'vitest';

import type { CatalogFacts, ForeignKeyFact, RelationFact } from './catalog-facts.ts';
import { checkSchema } from './schema-checks.ts';

const SERVER: CatalogFacts['server'] = {
  versionNumber: 180_000,
  encoding: 'UTF8',
  role: 'app',
  database: 'main',
  canCreateSchema: true,
  metadata: {
    schema: 'sync',
    exists: false,
    isEmpty: true,
    canUse: false,
    canCreate: false,
    layout: undefined,
    version: 0,
    readableBy: 0,
  },
};

const RELATION: RelationFact = {
  oid: '1',
  rootOid: '1',
  schema: 'public',
  name: 't',
  kind: 'r',
  persistence: 'p',
  isPartition: false,
  hasInheritance: false,
  rowSecurityActive: false,
  hasRules: false,
  canUseSchema: true,
  canReadAndWrite: true,
  isOwner: true,
  owner: 'app',
};

const KEY: ForeignKeyFact = {
  relationOid: '1',
  constraint: 't_fk',
  attributes: [1, 3],
  parentOid: '1',
  parentSchema: 'public',
  parentTable: 't',
  parentColumns: ['_sync_scope_id', 'id'],
  onDelete: 'a',
  onUpdate: 'a',
  deleteSetAttributes: [],
  match: 's',
  isDeferrable: true,
  isValidated: true,
  definition: '',
};

function codes(facts: Partial<CatalogFacts>): readonly string[] {
  const empty = { server: SERVER, relations: [], columns: [], indexes: [], foreignKeys: [], triggers: [], functions: [] };
  const report = checkSchema({
    facts: { ...empty, ...facts },
    tables: [{ schema: 'public', table: 't', keyColumn: 'id', columns: undefined, excludeColumns: [], jsonAsText: [] }],
    registrations: [],
    layout: 'ours',
    layoutVersion: 1,
    isOutdated: false,
    hasChangedMigration: false,
    changesMetadata: true,
    changedRelations: new Set(),
  });
  return report.violations.map((violation) => violation.code);
}

describe('checkSchema, for what no test database has', () => {
  it('refuses a server before 14 and an encoding other than UTF8', () => {
    expect(codes({ server: { ...SERVER, versionNumber: 130_011, encoding: 'LATIN1' } })).toEqual([
      'database_encoding',
      'server_version_unsupported',
      'table_missing',
    ]);
  });

  it('refuses an action that it does not know', () => {
    expect(codes({ relations: [RELATION], foreignKeys: [{ ...KEY, onDelete: 'z' }] })).toContain('fk_action_unsupported');
    expect(codes({ relations: [RELATION], foreignKeys: [KEY] })).not.toContain('fk_action_unsupported');
  });

  it('accepts an empty schema prepared by an administrator, and needs the right to create in it', () => {
    const metadata = { ...SERVER.metadata, exists: true, canUse: true, canCreate: true };
    expect(codes({ server: { ...SERVER, canCreateSchema: false, metadata } })).toEqual(['table_missing']);
    expect(codes({ server: { ...SERVER, metadata: { ...metadata, canCreate: false } } })).toEqual([
      'privilege_missing',
      'table_missing',
    ]);
  });
});
