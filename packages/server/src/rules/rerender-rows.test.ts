import { expect, test } from 'vitest';

import { rerenderRows, UnrecordedShapeError } from './rerender-rows.ts';
import type { Catalog, ColumnFamily, ShapeColumn, TableDescription } from './table-description.ts';

const column = (name: string, family: ColumnFamily = 'text', more: Partial<ShapeColumn> = {}): ShapeColumn => ({
  name,
  family,
  jsonAsText: false,
  missingValue: 'null',
  ...more,
});

/** A catalog of one table whose current shape is `now` and whose earlier one is `before`. */
function createCatalog(before: readonly ShapeColumn[], now: readonly ShapeColumn[]): Catalog {
  const columns = now.map(({ name, family, jsonAsText }) => ({
    name,
    family,
    jsonAsText,
    sqlType: 'text',
    baseType: 'text',
    notNull: false,
    hasDefault: false,
    isGenerated: false,
  }));
  const table: TableDescription = {
    tableId: 4,
    schema: 'business',
    table: 'docs',
    name: 'business.docs',
    keyColumn: 'id',
    keyKind: 'text',
    keyCollation: undefined,
    shapeId: 2,
    columns,
    columnByName: new Map(columns.map((one) => [one.name, one])),
    rowColumns: [],
    literalColumns: [],
    rowLayout: '',
    hasNestedJson: false,
    deletesFirst: true,
    capturesPushes: false,
  };
  return {
    tables: new Map([[table.name, table]]),
    byId: new Map([[4, table]]),
    shapes: new Map([
      [
        4,
        new Map([
          [1, { tableId: 4, shapeId: 1, columns: before }],
          [2, { tableId: 4, shapeId: 2, columns: now }],
        ]),
      ],
    ]),
    rowLayout: '',
    shapeSet: '',
    tokenSecret: new Uint8Array(32),
  };
}

const row = (payload: string, table = 'docs') =>
  `{"schema":"business","table":"${table}","key":{"id":"a"},"op":"INSERT","row_version":9007199254740993,"payload":${payload}}`;
const deletion = '{"schema":"business","table":"docs","key":{"id":"b"},"op":"DELETE","row_version":2}';

test('dropped columns are left out, added ones get the recorded value, kept ones stay as they are', () => {
  const catalog = createCatalog(
    [column('gone'), column('id')],
    [column('added', 'text', { missingValue: '"so \\"it\\" was"' }), column('id')],
  );
  expect(rerenderRows(row('{"gone":"x","id":"é\\n"}'), ['4:1'], catalog)).toBe(row('{"added":"so \\"it\\" was","id":"é\\n"}'));
});

test('rows of the current shape, deletions and numbers beyond 53 bits stay byte for byte', () => {
  const catalog = createCatalog([column('id')], [column('id'), column('j', 'json')]);
  const texts = `${row('{"id":"a","j":{"n":1.50,"big":90071992547409931234,"e":1e400}}')},${deletion}`;
  expect(rerenderRows(texts, ['4:2'], catalog)).toBe(texts);
  expect(rerenderRows(deletion, ['4:1'], catalog)).toBe(deletion);
});

test('rows of a table that is no longer registered disappear', () => {
  const catalog = createCatalog([column('id')], [column('id')]);
  expect(rerenderRows(`${row('{"id":"a"}', 'other')},${deletion},${row('{}', 'other')}`, ['9:1', '4:2'], catalog)).toBe(deletion);
  expect(rerenderRows(row('{}', 'other'), ['9:1'], catalog)).toBe('');
});

test('a json column moves between nested value and text', () => {
  const nested = column('j', 'json');
  const text = column('j', 'json', { jsonAsText: true });
  expect(rerenderRows(row('{"j":{"a":[1.50,null]}}'), ['4:1'], createCatalog([nested], [text]))).toBe(
    row('{"j":"{\\"a\\":[1.50,null]}"}'),
  );
  expect(rerenderRows(row('{"j":"{\\"a\\":[1.50,null]}"}'), ['4:1'], createCatalog([text], [nested]))).toBe(
    row('{"j":{"a":[1.50,null]}}'),
  );
  expect(rerenderRows(row('{"j":null}'), ['4:1'], createCatalog([text], [nested]))).toBe(row('{"j":null}'));
});

test('a boolean column that became text, and the other way round, keeps its meaning', () => {
  expect(rerenderRows(row('{"v":true}'), ['4:1'], createCatalog([column('v', 'boolean')], [column('v')]))).toBe(
    row('{"v":"true"}'),
  );
  expect(rerenderRows(row('{"v":"1"}'), ['4:1'], createCatalog([column('v')], [column('v', 'boolean')]))).toBe(row('{"v":true}'));
});

test('a shape that was never recorded is a fault, not a guess', () => {
  const catalog = createCatalog([column('id')], [column('id')]);
  expect(() => rerenderRows(row('{"id":"a"}'), ['4:7'], catalog)).toThrow(UnrecordedShapeError);
});

test('a column that was dropped and added again does not get its old value back', () => {
  const before = [column('a', 'integer', { origin: '77.3' }), column('id', 'text', { origin: '77.2' })];
  const now = [column('a', 'integer', { origin: '77.5', missingValue: '"7"' }), column('id', 'text', { origin: '77.2' })];
  expect(rerenderRows(row('{"a":"1","id":"a"}'), ['4:1'], createCatalog(before, now))).toBe(row('{"a":"7","id":"a"}'));
});

test('columns of a table that was restored under another number are known by their names', () => {
  const before = [column('a', 'integer', { origin: '77.3' })];
  const now = [column('a', 'integer', { origin: '991.2', missingValue: '"7"' })];
  expect(rerenderRows(row('{"a":"1"}'), ['4:1'], createCatalog(before, now))).toBe(row('{"a":"1"}'));
});

test('a renamed column keeps its values', () => {
  const before = [column('a', 'integer', { origin: '77.3' }), column('b', 'text', { origin: '77.4' })];
  const now = [column('b', 'integer', { origin: '77.3' }), column('c', 'text', { origin: '77.4' })];
  expect(rerenderRows(row('{"a":"1","b":"x"}'), ['4:1'], createCatalog(before, now))).toBe(row('{"b":"1","c":"x"}'));
});
