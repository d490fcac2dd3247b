import { describe, expect, it } from 'vitest';

import {
  keyBytesOfRow,
  keyFromBytes,
  keyFromText,
  keyMember,
  keyTextFromBytes,
  renderPayload,
  tableMembers,
} from './render-sql.ts';
import { quoteIdentifier, quoteLiteral, quoteQualified } from './sql-text.ts';
import { compareUtf16 } from './table-description.ts';
import type { ColumnDescription, ColumnFamily, TableDescription } from './table-description.ts';

const FUNCTIONS = { floatText: 'sync.float_text', notRepresentable: 'sync.refuse' };

function column(name: string, family: ColumnFamily, baseType: string, jsonAsText = false): ColumnDescription {
  const flags = { notNull: false, hasDefault: false, isGenerated: false };
  return { name, family, sqlType: baseType, baseType, jsonAsText, ...flags };
}

function table(columns: readonly ColumnDescription[], overrides: Partial<TableDescription> = {}): TableDescription {
  const sorted = columns.toSorted((left, right) => compareUtf16(left.name, right.name));
  return {
    tableId: 7,
    schema: 'business',
    table: 'it',
    name: 'business.it',
    keyColumn: 'id',
    keyKind: 'uuid',
    keyCollation: undefined,
    shapeId: 1,
    columns: sorted,
    columnByName: new Map(sorted.map((entry) => [entry.name, entry])),
    rowColumns: ['_sync_scope_id', ...columns.map((entry) => entry.name)],
    literalColumns: [],
    rowLayout: '',
    hasNestedJson: false,
    deletesFirst: true,
    capturesPushes: false,
    ...overrides,
  };
}

const render = (family: ColumnFamily, baseType: string, jsonAsText = false): string =>
  renderPayload(table([column('c', family, baseType, jsonAsText)]), 't', FUNCTIONS, 'd');

describe('renderPayload', () => {
  it('writes members in the order of their names, null for NULL', () => {
    const sql = renderPayload(table([column('b', 'uuid', 'uuid'), column('a', 'boolean', 'bool')]), 't', FUNCTIONS, 'd');
    expect(sql).toBe(
      `('{"a":'||COALESCE(t."a"::pg_catalog.bool::pg_catalog.text,'null')||',"b":'||COALESCE('"'||t."b"::pg_catalog.text||'"','null')||'}')`,
    );
  });

  it.each<[ColumnFamily, string, string]>([
    ['integer', 'int8', `'"'||t."c"::pg_catalog.text||'"'`],
    ['bytea', 'bytea', `'"'||pg_catalog.translate(pg_catalog.encode(t."c"::pg_catalog.bytea,'base64'),E'\\n','')||'"'`],
    ['text', 'bpchar', 'pg_catalog.to_json(t."c")::pg_catalog.text'],
    ['text', 'enum', 'pg_catalog.to_json(t."c"::pg_catalog.text)::pg_catalog.text'],
    ['timestamptz', 'timestamptz', 'pg_catalog.to_json(t."c"::pg_catalog.timestamptz)::pg_catalog.text'],
    ['datetime', 'date', 'pg_catalog.to_json(t."c"::pg_catalog.date)::pg_catalog.text'],
    ['json', 'json', 't."c"::pg_catalog.jsonb::pg_catalog.text'],
  ])('renders %s (%s)', (family, baseType, expected) => {
    expect(render(family, baseType)).toBe(`('{"c":'||COALESCE(${expected},'null')||'}')`);
  });

  it('carries json as a string where the table says so', () => {
    expect(render('json', 'jsonb', true)).toContain(
      'pg_catalog.to_json(t."c"::pg_catalog.jsonb::pg_catalog.text)::pg_catalog.text',
    );
  });

  it('refuses numbers without a wire form by the names of the column', () => {
    for (const family of ['numeric', 'float4', 'float8'] as const) {
      expect(render(family, family)).toContain(`sync.refuse('business','it','c',d)`);
    }
  });
});

describe('key expressions', () => {
  const text = table([], { keyKind: 'text', keyCollation: 'pg_catalog."C"' });

  it('compare a text key under the collation of its column', () => {
    expect(keyFromText(text, 'p.k')).toBe('p.k COLLATE pg_catalog."C"');
    expect(keyFromBytes(text, 'p.b')).toBe(`pg_catalog.convert_from(p.b,'UTF8') COLLATE pg_catalog."C"`);
    expect(keyTextFromBytes(text, 'p.b')).toBe(`pg_catalog.convert_from(p.b,'UTF8')`);
    expect(keyBytesOfRow(text, 't')).toBe(`pg_catalog.convert_to(t."id",'UTF8')`);
    expect(keyMember(text, 'x')).toBe(`('"key":{"id":'||pg_catalog.to_json(x)::pg_catalog.text||'}')`);
  });

  it('read a uuid key from its raw bytes', () => {
    const uuid = table([]);
    expect(keyFromText(uuid, 'p.k')).toBe('p.k::pg_catalog.uuid');
    expect(keyFromBytes(uuid, 'p.b')).toBe(`pg_catalog.encode(p.b,'hex')::pg_catalog.uuid`);
    expect(keyBytesOfRow(uuid, 't')).toBe('pg_catalog.uuid_send(t."id")');
    expect(tableMembers(uuid)).toBe(`'"schema":"business","table":"it"'`);
  });
});

describe('SQL text', () => {
  it('quotes whatever a name or text holds', () => {
    expect(quoteIdentifier('a"b')).toBe('"a""b"');
    expect(quoteQualified('a', 'b')).toBe('"a"."b"');
    expect(quoteLiteral(`it's \\`)).toBe(`'it''s \\'`);
  });

  it('refuses U+0000, which would cut the statement', () => {
    expect(() => quoteIdentifier('a\0')).toThrow(TypeError);
    expect(() => quoteLiteral('\0')).toThrow(TypeError);
  });
});
