import { randomBytes } from 'node:crypto';

import { isSyncError } from '@oversync/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { SchemaViolation, SchemaWarning, ViolationCode, WarningCode } from '../rules/schema-violation.ts';
import type { RegisteredTableConfig } from '../rules/table-description.ts';
import { MIGRATIONS } from '../store/migrations.ts';
import { openPgFixture } from '../test-pg.ts';
import type { PgFixture } from '../test-pg.ts';

interface Case {
  readonly code: ViolationCode;
  /** Runs in a schema of its own, which is first in the search path. */
  readonly sql: string;
  /** Default: table `t` with key `id`. */
  readonly tables?: readonly Partial<RegisteredTableConfig>[];
  readonly column?: string;
  readonly constraint?: string;
  /** The reported statements put it right. */
  readonly isFixable?: boolean;
  /** `server_version_num` before which PostgreSQL has no statement that would put it right. */
  readonly fixableFrom?: number;
}

/** First version with `ON DELETE SET NULL (column)`. */
const SET_COLUMNS_VERSION = 150_000;

/** A table as it should be; `rest` continues the column list. */
const table = (name: string, rest = ''): string =>
  `CREATE TABLE ${name} (_sync_scope_id text NOT NULL, id text NOT NULL, PRIMARY KEY (_sync_scope_id, id)${rest});`;

const two = [{ table: 't' }, { table: 'p' }];

const child = (reference: string, columns = 'pid text'): string =>
  `${table('p')}${table('t', `, ${columns}, CONSTRAINT t_fk ${reference}`)}CREATE INDEX ON t (_sync_scope_id, pid);`;

const FK = 'FOREIGN KEY (_sync_scope_id, pid) REFERENCES p (_sync_scope_id, id)';

const CASES: readonly Case[] = [
  { code: 'config_table_duplicate', sql: table('t'), tables: [{ table: 't' }, { table: ' T ' }] },
  { code: 'config_identifier_invalid', sql: table('t'), tables: [{ table: 't' }, { table: 'näme' }] },
  { code: 'sync_key_count', sql: table('t'), tables: [{ table: 't', syncKeyColumn: ' ' }] },
  { code: 'sync_key_is_scope_column', sql: table('t'), tables: [{ table: 't', syncKeyColumn: '_sync_scope_id' }] },
  { code: 'table_missing', sql: '' },
  { code: 'relation_kind_unsupported', sql: `${table('base')}CREATE VIEW t AS SELECT * FROM base;` },
  { code: 'relation_kind_unsupported', sql: 'CREATE SEQUENCE t;' },
  { code: 'relation_not_permanent', sql: table('t').replace('CREATE TABLE', 'CREATE UNLOGGED TABLE'), isFixable: true },
  { code: 'relation_inheritance_unsupported', sql: `${table('t')}CREATE TABLE heir () INHERITS (t);` },
  {
    code: 'relation_inheritance_unsupported',
    sql: `CREATE TABLE root (_sync_scope_id text NOT NULL, id text NOT NULL, PRIMARY KEY (_sync_scope_id, id)) PARTITION BY HASH (id);
      CREATE TABLE t PARTITION OF root FOR VALUES WITH (MODULUS 1, REMAINDER 0);`,
  },
  {
    code: 'foreign_capture_triggers',
    sql: `${table('t')}CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
      CREATE TRIGGER oversync_bundle_capture_t AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();`,
    isFixable: true,
  },
  {
    code: 'scope_column_missing',
    sql: 'CREATE TABLE t (id text NOT NULL, UNIQUE (id));',
    column: '_sync_scope_id',
    isFixable: true,
  },
  { code: 'scope_column_type', sql: table('t').replace('_sync_scope_id text', '_sync_scope_id varchar(20)'), isFixable: true },
  {
    code: 'scope_column_nullable',
    sql: 'CREATE TABLE t (_sync_scope_id text, id text NOT NULL, UNIQUE (_sync_scope_id, id));',
    isFixable: true,
  },
  {
    code: 'scope_column_collation',
    sql: `CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
      CREATE TABLE t (_sync_scope_id text COLLATE loose NOT NULL, id text NOT NULL, UNIQUE (_sync_scope_id, id));`,
    isFixable: true,
  },
  { code: 'sync_key_missing', sql: table('t'), tables: [{ table: 't', syncKeyColumn: 'nope' }], column: 'nope' },
  {
    code: 'sync_key_type',
    sql: table('t').replace('id text NOT NULL, PRIMARY', 'id varchar(30) NOT NULL, PRIMARY'),
    column: 'id',
    isFixable: true,
  },
  { code: 'sync_key_type', sql: table('t').replace('id text NOT NULL, PRIMARY', 'id int8 NOT NULL, PRIMARY') },
  {
    code: 'sync_key_type',
    sql: `CREATE DOMAIN key AS text; ${table('t').replace('id text NOT NULL, PRIMARY', 'id key NOT NULL, PRIMARY')}`,
    isFixable: true,
  },
  {
    code: 'sync_key_nullable',
    sql: 'CREATE TABLE t (_sync_scope_id text NOT NULL, id text, UNIQUE (_sync_scope_id, id));',
    isFixable: true,
  },
  {
    code: 'sync_key_collation',
    sql: `CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
      CREATE TABLE t (_sync_scope_id text NOT NULL, id text COLLATE loose NOT NULL, UNIQUE (_sync_scope_id, id));`,
    isFixable: true,
  },
  { code: 'column_name_unsupported', sql: table('t', ', "Title" text'), column: 'Title' },
  ...['int4[]', 'money', 'oid', 'int4range', 'xid8', 'pg_lsn'].map((type) => ({
    code: 'column_type_unsupported' as const,
    sql: table('t', `, bad ${type}`),
    column: 'bad',
  })),
  { code: 'column_type_unsupported', sql: `CREATE TYPE pair AS (a int4, b int4); ${table('t', ', bad pair')}`, column: 'bad' },
  { code: 'column_type_unsupported', sql: `CREATE DOMAIN list AS int4[]; ${table('t', ', bad list')}`, column: 'bad' },
  { code: 'published_column_missing', sql: table('t'), tables: [{ table: 't', columns: ['id', 'nope'] }], column: 'nope' },
  {
    code: 'published_column_missing',
    sql: table('t', ', body text'),
    tables: [{ table: 't', jsonAsText: ['body'] }],
    column: 'body',
  },
  {
    code: 'unpublished_column_required',
    sql: table('t', ', secret text NOT NULL'),
    tables: [{ table: 't', excludeColumns: ['secret'] }],
  },
  { code: 'identity_index_missing', sql: 'CREATE TABLE t (_sync_scope_id text NOT NULL, id text NOT NULL);', isFixable: true },
  {
    code: 'identity_index_missing',
    sql: 'CREATE TABLE t (_sync_scope_id text NOT NULL, id text NOT NULL); CREATE UNIQUE INDEX ON t (_sync_scope_id, id) WHERE id <> $$x$$;',
    isFixable: true,
  },
  {
    code: 'unique_index_partial',
    sql: `${table('t', ', body text')}CREATE UNIQUE INDEX part ON t (_sync_scope_id, body) WHERE body > 'a';`,
    constraint: 'part',
  },
  {
    code: 'unique_index_expression',
    sql: `${table('t', ', body text')}CREATE UNIQUE INDEX expr ON t (_sync_scope_id, lower(body));`,
    constraint: 'expr',
  },
  {
    code: 'unique_index_scope_not_first',
    sql: table('t', ', email text, CONSTRAINT t_email UNIQUE (email)'),
    constraint: 't_email',
    isFixable: true,
  },
  {
    code: 'unique_index_scope_not_first',
    sql: `${table('t', ', email text')}CREATE UNIQUE INDEX t_email ON t (email, _sync_scope_id);`,
    isFixable: true,
  },
  {
    code: 'unique_index_scope_not_first',
    sql: 'CREATE TABLE t (_sync_scope_id text NOT NULL, id text PRIMARY KEY);',
    isFixable: true,
  },
  {
    code: 'unique_index_invalid',
    sql: `${table('t', ', email text')}CREATE UNIQUE INDEX broken ON t (_sync_scope_id, email);
      UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken'::regclass;`,
    constraint: 'broken',
    isFixable: true,
  },
  {
    code: 'exclusion_constraint_unscoped',
    sql: table('t', `, period tsrange DEFAULT 'empty', CONSTRAINT t_overlap EXCLUDE USING gist (period WITH &&)`),
    tables: [{ table: 't', excludeColumns: ['period'] }],
    constraint: 't_overlap',
  },
  { code: 'fk_parent_unregistered', sql: child(`${FK} DEFERRABLE`), constraint: 't_fk' },
  {
    code: 'fk_not_scoped',
    sql: `${table('p', ', UNIQUE (id)')}${table('t', ', pid text, CONSTRAINT t_fk FOREIGN KEY (pid) REFERENCES p (id) DEFERRABLE')}`,
    tables: two,
    isFixable: true,
  },
  {
    code: 'fk_not_scoped',
    sql: `${table('p', ', other text, UNIQUE (_sync_scope_id, id, other)')}${table('t', ', a text, b text, CONSTRAINT t_fk FOREIGN KEY (_sync_scope_id, a, b) REFERENCES p (_sync_scope_id, id, other) DEFERRABLE')}`,
    tables: two,
  },
  {
    code: 'fk_target_not_sync_key',
    sql: `${table('p', ', code text, UNIQUE (_sync_scope_id, code)')}${table('t', ', pid text, CONSTRAINT t_fk FOREIGN KEY (_sync_scope_id, pid) REFERENCES p (_sync_scope_id, code) DEFERRABLE')}`,
    tables: two,
  },
  { code: 'fk_not_deferrable', sql: child(FK), tables: two, isFixable: true },
  { code: 'fk_match_unsupported', sql: child(`${FK} MATCH FULL DEFERRABLE`), tables: two, isFixable: true },
  {
    code: 'fk_set_action_touches_scope',
    sql: child(`${FK} ON DELETE SET NULL DEFERRABLE`),
    tables: two,
    isFixable: true,
    fixableFrom: SET_COLUMNS_VERSION,
  },
  { code: 'fk_set_action_touches_scope', sql: child(`${FK} ON UPDATE SET DEFAULT DEFERRABLE`), tables: two },
  {
    code: 'fk_not_valid',
    sql: `${table('p')}${table('t', ', pid text')}ALTER TABLE t ADD CONSTRAINT t_fk ${FK} DEFERRABLE NOT VALID;`,
    tables: two,
    isFixable: true,
  },
  { code: 'adoption_required', sql: `${table('t')}INSERT INTO t VALUES ('s', 'k');` },
];

const WARNINGS: readonly { readonly code: WarningCode; readonly sql: string; readonly tables?: Case['tables'] }[] = [
  { code: 'unique_not_deferrable', sql: table('t', ', email text, UNIQUE (_sync_scope_id, email)') },
  { code: 'unique_not_deferrable', sql: `${table('t', ', email text')}CREATE UNIQUE INDEX ON t (_sync_scope_id, email);` },
  {
    code: 'reference_not_indexed',
    sql: `${table('p')}${table('t', `, pid text, CONSTRAINT t_fk ${FK} DEFERRABLE`)}`,
    tables: two,
  },
];

describe('schema checks', () => {
  let pg: PgFixture;
  let version: number;
  beforeAll(async () => {
    pg = await openPgFixture();
    version = Number((await pg.query(`SELECT current_setting('server_version_num')`)).rows[0]?.[0]);
  });
  afterAll(() => pg.close());

  async function report(
    schema: string,
    tables: Case['tables'] = [{ table: 't' }],
    overrides = {},
  ): Promise<{ violations: readonly SchemaViolation[]; warnings: readonly SchemaWarning[] }> {
    const configs = tables.map((config) => ({ schema, table: 't', syncKeyColumn: 'id', ...config }));
    try {
      const { warnings } = await pg.bootstrap(configs, {
        metadataSchema: `meta_${schema}`,
        bootstrapPolicy: 'check',
        ...overrides,
      });
      return { violations: [], warnings };
    } catch (error) {
      if (!isSyncError(error) || error.code !== 'schema_violation') throw error;
      return error.details as { violations: readonly SchemaViolation[]; warnings: readonly SchemaWarning[] };
    }
  }

  it.each(CASES.map((entry, index) => ({ ...entry, index })))(
    'reports $code ($index) and what it proposes puts it right',
    async (entry) => {
      const schema = `case_${String(entry.index)}`;
      await pg.run(`CREATE SCHEMA ${schema}; SET LOCAL search_path = ${schema}, public; ${entry.sql}`);
      const { violations } = await report(schema, entry.tables);
      const found = violations.filter((violation) => violation.code === entry.code);
      expect(violations.map((violation) => violation.code)).toContain(entry.code);
      if (entry.column !== undefined) expect(found[0]?.column).toBe(entry.column);
      if (entry.constraint !== undefined) expect(found[0]?.constraint).toBe(entry.constraint);
      const isFixable = entry.isFixable === true && version >= (entry.fixableFrom ?? 0);
      expect(found[0]?.fixSql.length === 0).toBe(!isFixable);
      if (!isFixable) return;
      for (const statement of found.flatMap((violation) => violation.fixSql)) await pg.query(statement);
      expect((await report(schema, entry.tables)).violations.map((violation) => violation.code)).not.toContain(entry.code);
    },
  );

  it.each(WARNINGS.map((entry, index) => ({ ...entry, index })))(
    'warns of $code ($index) and what it proposes ends the warning',
    async (entry) => {
      const schema = `warning_${String(entry.index)}`;
      await pg.run(`CREATE SCHEMA ${schema}; SET LOCAL search_path = ${schema}; ${entry.sql}`);
      const { violations, warnings } = await report(schema, entry.tables);
      expect(violations).toEqual([]);
      expect(warnings.map((warning) => warning.code)).toContain(entry.code);
      for (const statement of warnings.flatMap((warning) => warning.fixSql)) await pg.query(statement);
      expect((await report(schema, entry.tables)).warnings).toEqual([]);
    },
  );

  it('[O2] reports all violations at once, sorted, and leaves the database unchanged', async () => {
    await pg.run(
      `CREATE SCHEMA many; SET LOCAL search_path = many; CREATE TABLE b (id int4, x money); CREATE TABLE a (_sync_scope_id text, id text);`,
    );
    const before = await describeDatabase();
    const tables = [{ table: 'b' }, { table: 'a' }, { table: 'nope' }];
    const { violations } = await report('many', tables, { bootstrapPolicy: 'apply' });
    expect(violations.map(({ table: name, code }) => `${name} ${code}`)).toEqual([
      'a identity_index_missing',
      'a scope_column_nullable',
      'a sync_key_nullable',
      'b column_type_unsupported',
      'b identity_index_missing',
      'b scope_column_missing',
      'b sync_key_nullable',
      'b sync_key_type',
      'nope table_missing',
    ]);
    expect(await describeDatabase()).toEqual(before);
  });

  async function describeDatabase(): Promise<unknown> {
    const { rows } = await pg.query(
      `SELECT 'class ' || c.oid || c.relname || c.xmin FROM pg_class c WHERE c.relnamespace > 16384
       UNION ALL SELECT 'namespace ' || nspname FROM pg_namespace UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger
       UNION ALL SELECT 'function ' || proname FROM pg_proc WHERE oid > 16384 ORDER BY 1`,
    );
    return rows;
  }

  it('[C10] tells apart constraints of equal name and keys that reference a unique index without a constraint', async () => {
    await pg.run(`CREATE SCHEMA names; SET LOCAL search_path = names;
      CREATE TABLE p (_sync_scope_id text NOT NULL, id text NOT NULL); CREATE UNIQUE INDEX ON p (_sync_scope_id, id);
      ${table('a', `, pid text, CONSTRAINT same_fk ${FK} DEFERRABLE`)}
      ${table('b', `, pid text, CONSTRAINT same_fk ${FK}`)}
      CREATE INDEX ON a (_sync_scope_id, pid); CREATE INDEX ON b (_sync_scope_id, pid);`);
    const { violations } = await report('names', [{ table: 'a' }, { table: 'b' }, { table: 'p' }]);
    expect(violations.map(({ code, table: name, constraint }) => [code, name, constraint])).toEqual([
      ['fk_not_deferrable', 'b', 'same_fk'],
    ]);
  });

  it('accepts cycles, self-references, pairs in either order, INCLUDE columns and every published type', async () => {
    const setNull = version < SET_COLUMNS_VERSION ? 'NO ACTION' : 'SET NULL (bid)';
    await pg.run(`CREATE SCHEMA fine; SET LOCAL search_path = fine;
      CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN cents AS numeric(12, 2) CHECK (VALUE >= 0);
      CREATE TABLE a (_sync_scope_id text COLLATE "C" NOT NULL, id uuid NOT NULL, bid uuid, aid uuid,
        c01 int2, c02 int4, c03 int8, c04 numeric(10, 3), c05 float4, c06 float8, c07 boolean, c08 bytea, c09 varchar(9), c10 char(4), c11 name,
        c12 mood, c13 inet, c14 cidr, c15 macaddr, c16 bit(4), c17 varbit, c18 xml, c19 timestamptz, c20 timestamp, c21 date, c22 time, c23 timetz,
        c24 interval, c25 json, c26 jsonb, c27 cents, c28 int8 GENERATED ALWAYS AS (c03 * 2) STORED, c29 int8 GENERATED BY DEFAULT AS IDENTITY, c30 "char");
      CREATE UNIQUE INDEX ON a (id, _sync_scope_id) INCLUDE (c01);
      CREATE TABLE b (_sync_scope_id text NOT NULL, id uuid NOT NULL, aid uuid, PRIMARY KEY (_sync_scope_id, id));
      CREATE INDEX ON a (bid); CREATE INDEX ON a (aid, _sync_scope_id); CREATE INDEX ON b (_sync_scope_id, aid);`);
    const { violations: before } = await report('fine', [{ table: 'a' }, { table: 'b' }]);
    expect(before.map(({ code }) => code)).toEqual(['unique_index_scope_not_first']);
    await pg.run(`SET LOCAL search_path = fine; DROP INDEX a_id__sync_scope_id_c01_idx; CREATE UNIQUE INDEX ON a (_sync_scope_id, id) INCLUDE (c01);
      ALTER TABLE a ADD FOREIGN KEY (bid, _sync_scope_id) REFERENCES b (id, _sync_scope_id) ON DELETE ${setNull} DEFERRABLE,
        ADD FOREIGN KEY (_sync_scope_id, aid) REFERENCES a (_sync_scope_id, id) ON DELETE RESTRICT DEFERRABLE;
      ALTER TABLE b ADD FOREIGN KEY (_sync_scope_id, aid) REFERENCES a (_sync_scope_id, id) ON DELETE CASCADE ON UPDATE CASCADE DEFERRABLE`);
    expect(await report('fine', [{ table: 'a' }, { table: 'b' }])).toMatchObject({ violations: [], warnings: [] });
  });

  it('finds a changed key, a foreign schema of the same name and a newer layout', async () => {
    await pg.run(
      `CREATE SCHEMA stored; SET LOCAL search_path = stored; ${table('t', ', other text NOT NULL, UNIQUE (_sync_scope_id, other)')}`,
    );
    await report('stored', undefined, { bootstrapPolicy: 'apply' });
    const codes = async (tables?: Case['tables']): Promise<readonly string[]> =>
      (await report('stored', tables)).violations.map((violation) => violation.code);
    expect(await codes([{ table: 't', syncKeyColumn: 'other' }])).toEqual(['sync_key_changed']);
    const version = String(MIGRATIONS.length);
    await pg.run('UPDATE meta_stored.meta SET version = 999');
    expect(await codes()).toEqual([]);
    await pg.run('UPDATE meta_stored.meta SET readable_by = 999');
    expect(await codes()).toEqual(['metadata_schema_newer']);
    await pg.run(
      `UPDATE meta_stored.meta SET version = ${version}, readable_by = 1; UPDATE meta_stored.migration SET checksum = 'other'`,
    );
    expect(await codes()).toEqual(['metadata_schema_foreign']);
    await pg.run(`DROP SCHEMA meta_stored CASCADE; CREATE SCHEMA meta_stored; CREATE TABLE meta_stored.sync_bundles (id int8)`);
    expect(await codes()).toEqual(['metadata_schema_foreign']);
  });

  it('names what the role may not do', async () => {
    const role = `oversync_weak_${randomBytes(4).toString('hex')}`;
    await pg.run(`CREATE SCHEMA locked; SET LOCAL search_path = locked; ${table('t')} ALTER TABLE t ENABLE ROW LEVEL SECURITY;
      CREATE ROLE ${role};`);
    const weak = {
      ...pg.db,
      transaction: ((begin, fn) =>
        pg.db.transaction(
          { ...begin, settings: `SET LOCAL ROLE ${role};${begin.settings ?? ''}` },
          fn,
        )) as typeof pg.db.transaction,
    };
    const { violations } = await report('locked', undefined, { database: weak });
    const privileges = violations.filter(({ code }) => code === 'privilege_missing');
    expect(privileges.flatMap(({ fixSql }) => fixSql)).toEqual([
      expect.stringMatching(/^GRANT CREATE ON DATABASE /),
      expect.stringMatching(/^GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE "locked"."t"/),
      expect.stringMatching(/^GRANT USAGE ON SCHEMA "locked"/),
      expect.stringMatching(/^GRANT "postgres" TO /),
    ]);
    for (const statement of privileges.flatMap(({ fixSql }) => fixSql)) await pg.query(statement);
    const after = (await report('locked', undefined, { database: weak })).violations;
    expect(after.map(({ code }) => code)).toEqual([]);
    await pg.run(`REVOKE postgres FROM ${role}`);
    const guarded = (await report('locked', undefined, { database: weak })).violations;
    expect(guarded.map(({ code }) => code)).toContain('row_security_active');
    for (const statement of guarded.flatMap(({ code, fixSql }) => (code === 'row_security_active' ? fixSql : [])))
      await pg.query(statement);
    const opened = (await report('locked', undefined, { database: weak })).violations;
    expect(opened.map(({ code }) => code)).not.toContain('row_security_active');
    await pg.run(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  });
});
