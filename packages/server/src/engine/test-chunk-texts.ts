/** Generated bodies of chunks for the readers of pushed rows: sound, odd and broken ones. */
import * as fc from 'fast-check';

import { describeColumn, describeTable } from '../rules/test-table.ts';

export const EVERYTHING = describeTable('everything', [
  describeColumn('big', 'integer', { integerType: 'int8' }),
  describeColumn('bytes', 'bytea'),
  describeColumn('doc', 'json', { jsonAsText: true }),
  describeColumn('exact', 'numeric'),
  describeColumn('flag', 'boolean'),
  describeColumn('name', 'text', { notNull: true }),
  describeColumn('narrow', 'float4'),
  describeColumn('ratio', 'float8'),
  describeColumn('seen', 'timestamptz'),
  describeColumn('small', 'integer', { integerType: 'int2' }),
]);
export const PLACES = describeTable('places', [describeColumn('name', 'text'), describeColumn('rating', 'integer')], {
  tableId: 2,
  keyKind: 'uuid',
});
export const DOCS = describeTable(
  'docs',
  [describeColumn('doc', 'json'), describeColumn('made', 'text', { isGenerated: true })],
  {
    tableId: 3,
  },
);

const STRANGE: readonly string[] = [
  'null',
  'true',
  'false',
  '12',
  '-0',
  '1.5',
  '{}',
  '[]',
  '""',
  '"\\/"',
  '"\\u00e9"',
  '"\\u0041"',
  '"\\u0000"',
  '"\\ud800"',
  '"\\u001f"',
  '"\\u001F"',
  '"\\u000a"',
  '"\\u000b"',
  '"a\\nb"',
  '"\\"\\\\"',
  '"日本😀"',
  '"\t"',
  '"\\x"',
  '"t',
  '" "',
  '"\\ud83d\\ude00"',
];
const strange = fc.constantFrom(...STRANGE);
const texts = fc.oneof(
  { arbitrary: fc.string({ unit: 'grapheme', maxLength: 40 }).map((text) => JSON.stringify(text)), weight: 5 },
  { arbitrary: fc.string({ unit: 'binary-ascii', maxLength: 10 }).map((text) => JSON.stringify(text)), weight: 2 },
  { arbitrary: fc.constantFrom('"x"', '"quoted \\"word\\" and \\\\"', '"two\\nlines"', `"${'é'.repeat(400)}"`), weight: 1 },
);
const integers = fc.oneof(fc.integer(), fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n })).map((value) => `"${String(value)}"`);
const numbers = fc.oneof(
  integers,
  fc.double().map((value) => `"${String(value)}"`),
  fc.tuple(fc.integer({ min: -99_999, max: 99_999 }), fc.nat({ max: 10_000_000 })).map(([left, right]) => `"${left}.${right}"`),
  fc.constantFrom(
    '"-0"',
    '"0"',
    '"-0.5"',
    '"0.0000001"',
    '"0.000001"',
    '"1.50"',
    '"01"',
    '"+1"',
    '"1e3"',
    '"1."',
    '".5"',
    '"-"',
    '"NaN"',
  ),
  fc.constantFrom(
    '"32767"',
    '"32768"',
    '"-32768"',
    '"9223372036854775807"',
    '"9223372036854775808"',
    '"123456789012345.6"',
    '"0.1"',
  ),
);
const mostly = (right: fc.Arbitrary<string>, others: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.oneof({ arbitrary: right, weight: 30 }, { arbitrary: others, weight: 1 });
const quoted = (value: unknown): string => `"${String(value)}"`;
const decimals = fc
  .tuple(fc.integer({ min: -99_999, max: 99_999 }), fc.nat({ max: 10_000_000 }))
  .map(([left, right]) => `"${left}.${right}"`);
const doubles = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => quoted(value === 0 ? 0 : value));
const floats = fc.float({ noNaN: true, noDefaultInfinity: true }).map((value) => quoted(value === 0 ? 0 : value));
const base64 = fc.uint8Array({ maxLength: 12 }).map((bytes) => quoted(Buffer.from(bytes).toString('base64')));

/** Values of each column that are nearly always right. */
const VALUES: Readonly<Record<string, fc.Arbitrary<string>>> = {
  big: mostly(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(quoted), numbers),
  bytes: mostly(base64, texts),
  doc: texts,
  exact: mostly(decimals, numbers),
  flag: mostly(fc.constantFrom('true', 'false', '"0"', '"1"'), fc.constantFrom('"2"', '"00"', '"t"')),
  name: texts,
  narrow: mostly(floats, numbers),
  ratio: mostly(doubles, numbers),
  seen: fc.constantFrom('"2026-01-01T00:00:00+00:00"', '"yesterday"'),
  small: mostly(fc.integer({ min: -32_768, max: 32_767 }).map(quoted), numbers),
  rating: mostly(fc.integer().map(quoted), numbers),
};
const valueOf = (column: string): fc.Arbitrary<string> =>
  fc.oneof(
    { arbitrary: VALUES[column] ?? texts, weight: 60 },
    { arbitrary: fc.constant('null'), weight: column === 'name' ? 0 : 10 },
    { arbitrary: strange, weight: 1 },
  );

interface RowForm {
  readonly table: string;
  readonly op: string;
  readonly columns: readonly string[];
  readonly hasKeyInPayload: boolean;
  /** Empty for a row without. */
  readonly version: string;
  readonly order: readonly string[];
}

/** One of them in another spelling, which only the exact reader knows. */
const OPS = [...Array.from({ length: 4 }, () => ['INSERT', 'UPDATE', 'DELETE']).flat(), 'insert'];

export const MEMBERS = ['schema', 'table', 'key', 'op', 'base_row_version', 'payload'];
const forms: fc.Arbitrary<RowForm> = fc
  .constantFrom(EVERYTHING, EVERYTHING, EVERYTHING, EVERYTHING, PLACES, PLACES, PLACES, DOCS)
  .chain(({ table, columns }) => {
    const names = columns.map(({ name }) => name).filter((name) => name !== 'id');
    return fc.record({
      table: fc.constant(table),
      op: fc.constantFrom(...OPS),
      columns: fc.oneof(
        fc.constant(names),
        fc.shuffledSubarray(names, { minLength: names.length }),
        fc.subarray(names, { minLength: 1 }),
      ),
      hasKeyInPayload: fc.boolean(),
      version: mostly(
        fc.constantFrom('0', '17', '', '900719925474099312'),
        fc.constantFrom('9223372036854775807', '-1', '1.0', '"0"', 'null', '00'),
      ),
      order: fc.oneof(
        { arbitrary: fc.constant(MEMBERS), weight: 4 },
        { arbitrary: fc.shuffledSubarray(MEMBERS, { minLength: 6 }), weight: 1 },
      ),
    });
  });

const UUID_KEYS = [
  '0a1b2c3d-0000-4000-8000-000000000000',
  '0a1b2c3d-0000-4000-8000-00000000000f',
  '0A1b2c3d-0000-4000-8000-000000000000',
];
const keys = (table: string): fc.Arbitrary<string> =>
  fc.oneof(
    {
      arbitrary:
        table === 'places'
          ? fc.uuid().map(quoted)
          : fc.string({ unit: 'grapheme', minLength: 3 }).map((text) => JSON.stringify(text)),
      weight: 60,
    },
    { arbitrary: fc.constantFrom(...UUID_KEYS).map(quoted), weight: 1 },
    { arbitrary: strange, weight: 1 },
  );

/** Rows of one form, each with its own values. */
const runs = forms.chain((form) =>
  fc.array(
    fc.tuple(keys(form.table), ...form.columns.map(valueOf)).map(([key, ...values]) => formatRow(form, key, values)),
    { minLength: 1, maxLength: 5 },
  ),
);

export function formatRow(
  { table, op, columns, hasKeyInPayload, version, order }: RowForm,
  key: string,
  values: readonly string[],
): string {
  const members = columns.map((name, index) => `"${name}":${values[index] ?? 'null'}`);
  if (hasKeyInPayload) members.splice(Math.min(4, members.length), 0, `"id":${key}`);
  const texts: Record<string, string | undefined> = {
    schema: '"business"',
    table: `"${table}"`,
    key: `{"id":${key}}`,
    op: `"${op}"`,
    base_row_version: version === '' ? undefined : version,
    payload: op === 'DELETE' ? undefined : `{${members.join(',')}}`,
  };
  return `{${order.flatMap((name) => (texts[name] === undefined ? [] : [`"${name}":${texts[name]}`])).join(',')}}`;
}

const starts = mostly(fc.constantFrom('0', '5', '123456'), fc.constantFrom('-1', '01', '1e3', '99999999999'));
/** Bodies of chunks, about half of them right. */
export const chunkTexts = fc
  .tuple(starts, fc.array(runs, { minLength: 1, maxLength: 4 }))
  .map(([start, rows]) => `{"start_row_ordinal":${start},"rows":[${rows.flat().join(',')}]}`);
