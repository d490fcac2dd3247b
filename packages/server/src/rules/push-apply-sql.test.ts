import { describe, expect, it } from 'vitest';

import { conversionProbe, planApply } from './push-apply-sql.ts';
import type { ApplyGroup } from './push-apply-sql.ts';
import { formatColumnSet, parseColumnSet } from './push-column-set.ts';
import { createCatalog, describeColumn, describeTable } from './test-table.ts';

const USERS = describeTable('users', [describeColumn('name', 'text'), describeColumn('age', 'integer')], { deletesFirst: false });
const NOTES = describeTable('notes', [describeColumn('body', 'text', { hasDefault: true, sqlType: 'public.present' })], {
  tableId: 2,
  keyKind: 'uuid',
});
const CATALOG = createCatalog(USERS, NOTES);
const STAGED = { pushRow: '"sync".push_row', scopeId: "o'hara", scopePk: '7', pushId: '2f2d3f7a-cd1f-42b9-8d08-c4d2b45d9f88' };
const ROWS = `FROM "sync".push_row p WHERE p.scope_pk='7'::int8 AND p.push_id='2f2d3f7a-cd1f-42b9-8d08-c4d2b45d9f88'::uuid`;

function group(tableId: number, op: ApplyGroup['op'], columnSet: string, firstRowOrdinal: number): ApplyGroup {
  return { tableId, op, columnSet, firstRowOrdinal, rowCount: 1 };
}

function sqlOf(one: ApplyGroup, rowOrdinalMax?: number): string | undefined {
  return planApply([one], CATALOG, STAGED)[0]?.sql(rowOrdinalMax).inline;
}

describe('the statement that applies', () => {
  it('inserts names the columns of the set and the scope', () => {
    expect(sqlOf(group(1, 'INSERT', 'l6', 0))).toBe(
      `INSERT INTO "business"."users" ("id","name","_sync_scope_id") SELECT (x.r)."id",(x.r)."name",'o''hara'::text FROM ` +
        `(SELECT p.apply_text::"business"."users" AS r,'o''hara'::text AS scope ${ROWS} AND p.table_id=1 AND p.op='INSERT' ` +
        `AND p.column_set='l6' ORDER BY p.row_ordinal OFFSET 0) x`,
    );
  });

  it('updates matches scope and key and sets only the columns of the set', () => {
    expect(sqlOf(group(1, 'UPDATE', 'l8', 0))).toBe(
      `UPDATE "business"."users" t SET "age"=(x.r)."age" FROM (SELECT p.apply_text::"business"."users" AS r,'o''hara'::text AS scope ` +
        `${ROWS} AND p.table_id=1 AND p.op='UPDATE' AND p.column_set='l8' ORDER BY p.row_ordinal OFFSET 0) x ` +
        `WHERE t."_sync_scope_id"=x.scope AND t."id"=(x.r)."id"`,
    );
  });

  it('deletes needs only keys, and may stop at an ordinal', () => {
    expect(sqlOf(group(2, 'DELETE', '', 0), 41)).toBe(
      `DELETE FROM "business"."notes" t USING (SELECT p.key_text::pg_catalog.uuid AS key,'o''hara'::text AS scope ${ROWS} ` +
        `AND p.table_id=2 AND p.op='DELETE' AND p.column_set='' AND p.row_ordinal<=41 ORDER BY p.row_ordinal OFFSET 0) x ` +
        `WHERE t."_sync_scope_id"=x.scope AND t."id"=x.key`,
    );
  });

  it('rows that a literal cannot express reads them from JSON, by the types of the columns', () => {
    expect(sqlOf(group(2, 'INSERT', 'j2', 0))).toBe(
      `INSERT INTO "business"."notes" ("id","_sync_scope_id") SELECT x."id",'o''hara'::text FROM (SELECT r.*,'o''hara'::text AS scope FROM ` +
        `(SELECT p.apply_text ${ROWS} AND p.table_id=2 AND p.op='INSERT' AND p.column_set='j2' ORDER BY p.row_ordinal) p, ` +
        `LATERAL pg_catalog.json_to_record(p.apply_text::pg_catalog.json) AS r("id" pg_catalog.uuid) OFFSET 0) x`,
    );
  });

  it('an update that names no column is left out', () => {
    expect(planApply([group(1, 'UPDATE', 'l0', 0)], CATALOG, STAGED)).toEqual([]);
  });
});

describe('the order of the statements', () => {
  it('is deletes that nothing follows, updates, other deletes, inserts; inside a phase by first upload', () => {
    const groups = [
      group(1, 'INSERT', 'l6', 0),
      group(2, 'INSERT', 'l6', 1),
      group(1, 'DELETE', '', 2),
      group(2, 'DELETE', '', 3),
      group(2, 'UPDATE', 'l4', 4),
      group(1, 'UPDATE', 'l8', 5),
      group(1, 'UPDATE', 'l4', 6),
    ];
    const order = planApply(groups, CATALOG, STAGED).map(
      ({ table, group: { op, firstRowOrdinal } }) => `${op} ${table.table} ${firstRowOrdinal}`,
    );
    expect(order).toEqual([
      'DELETE notes 3',
      'UPDATE users 5',
      'UPDATE users 6',
      'UPDATE notes 4',
      'DELETE users 2',
      'INSERT users 0',
      'INSERT notes 1',
    ]);
  });
});

describe('a column set', () => {
  it('names the fields of the row literal as bits', () => {
    expect(formatColumnSet('l', [1, 3])).toBe('la');
    expect(parseColumnSet('la', USERS)).toEqual({ form: 'l', columns: ['id', 'age'] });
    expect(parseColumnSet('j4', USERS)).toEqual({ form: 'j', columns: ['name'] });
    expect(formatColumnSet('l', [])).toBe('l0');
  });

  it('holds as many columns as a table may have', () => {
    const columns = Array.from({ length: 1598 }, (_, index) => describeColumn(`c${index}`, 'text'));
    const wide = describeTable('wide', columns);
    const text = formatColumnSet('l', [1, 1599]);
    expect(parseColumnSet(text, wide).columns).toEqual(['id', 'c1597']);
  });
});

describe('the conversion check', () => {
  it('casts a literal as a whole and JSON by its columns', () => {
    expect(conversionProbe(USERS, 'l6')).toBe('p.apply_text::"business"."users" IS NULL');
    expect(conversionProbe(NOTES, 'j6')).toBe(
      '(SELECT r IS NULL FROM pg_catalog.json_to_record(p.apply_text::pg_catalog.json) AS r("id" pg_catalog.uuid,"body" public.present))',
    );
  });
});
