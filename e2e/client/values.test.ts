import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { openWorld } from './world.ts';
import type { Device, World } from './world.ts';

const SAMPLES = {
  name: 'samples',
  serverSql: `CREATE TABLE business.samples (
    _sync_scope_id text NOT NULL, id text NOT NULL, big int8, small int2, exact numeric(30, 9), free numeric, wide float8, narrow float4,
    bytes bytea, words text, born date, at timestamptz, flag boolean, PRIMARY KEY (_sync_scope_id, id))`,
  deviceSql: `CREATE TABLE samples (
    id TEXT PRIMARY KEY NOT NULL, big INTEGER, small INTEGER, exact TEXT, free TEXT, wide REAL, narrow REAL,
    bytes BLOB, words TEXT, born TEXT, at TEXT, flag BOOLEAN)`,
};

/** Every value in a form that hides nothing: storage class, all digits, every byte. */
const DUMP = `SELECT id, typeof(big) || CAST(big AS TEXT) AS big, small, typeof(exact) || exact AS exact, typeof(free) || free AS free,
  typeof(wide) || printf('%!.20g', wide) AS wide, typeof(narrow) || printf('%!.20g', narrow) AS narrow, typeof(bytes) || hex(bytes) AS bytes,
  typeof(words) || hex(words) AS words, born, at, typeof(flag) || flag AS flag FROM samples ORDER BY id`;

const EVERY_BYTE = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0')).join('');
const AWKWARD = [
  '',
  ' ',
  '\u0001\u0008\u000b\u001f\u007f\u0085\u00a0',
  '"\\/<>&\'`${}\r\n\t',
  '\u2028\u2029\ufeff\ufffd\uffff\ue000',
  '😀👩‍👩‍👧‍👦e\u0301é\u0130ıß\u202e',
  '\u{10ffff}',
  'NULL',
  '\\x00',
  "';--",
];

interface Sample {
  readonly big?: string;
  readonly small?: string;
  readonly exact?: string;
  readonly free?: string;
  readonly wide?: number;
  readonly narrow?: number;
  readonly bytes?: string;
  readonly words?: string;
  readonly born?: string;
  readonly at?: string;
  readonly flag?: 0 | 1;
}

const EDGES: readonly Sample[] = [
  {},
  { big: '9223372036854775807', small: '32767', exact: '999999999999999999999.999999999', wide: Number.MAX_VALUE, flag: 1 },
  { big: '-9223372036854775808', small: '-32768', exact: '-999999999999999999999.000000001', wide: -Number.MAX_VALUE, flag: 0 },
  { big: '9007199254740993', exact: '0.000000001', free: '1234567890123456789012345678901234567890.10', wide: 5e-324 },
  { big: '-9007199254740993', free: '-0.00000000000000000000000000000001', wide: -5e-324, narrow: Math.fround(1e-45) },
  {
    wide: 2.225073858507201e-308,
    narrow: Math.fround(3.4028234663852886e38),
    born: '0001-01-01',
    at: '0001-01-01T00:00:00+00:00',
  },
  { wide: 2 ** 53, narrow: Math.fround(0.1), born: '0987-12-31', at: '0999-06-15T12:30:45.000001+00:00' },
  {
    wide: 22678212089436850,
    narrow: Math.fround(1.2345678901234567),
    born: '9999-12-31',
    at: '9999-12-31T23:59:59.999999+00:00',
  },
  { bytes: '' },
  { bytes: EVERY_BYTE },
  ...AWKWARD.map((words) => ({ words })),
];

let world: World;
beforeAll(async () => {
  world = await openWorld({}, SAMPLES);
});
afterAll(() => world.close());

function toSql(sample: Sample, id: string): string {
  const text = (value: string | undefined): string =>
    value === undefined ? 'NULL' : `CAST(X'${Buffer.from(value).toString('hex')}' AS TEXT)`;
  const real = (value: number | undefined): string =>
    value === undefined ? 'NULL' : `CAST('${value.toExponential(20)}' AS REAL)`;
  const values = [
    text(id),
    sample.big === undefined ? 'NULL' : `CAST('${sample.big}' AS INTEGER)`,
    sample.small ?? 'NULL',
    text(sample.exact),
    text(sample.free),
    real(sample.wide),
    real(sample.narrow),
    sample.bytes === undefined ? 'NULL' : `X'${sample.bytes}'`,
    text(sample.words),
    text(sample.born),
    text(sample.at),
    sample.flag ?? 'NULL',
  ];
  return `INSERT INTO samples VALUES (${values.join(', ')})`;
}

async function attach(device: Device, user: string): Promise<void> {
  expect((await device.client.attach(user)).status).toBe('connected');
}

/** Writes on one device; the rows have to be the same on one that pulls and on one that rebuilds, and stay so on the writer. */
async function expectExactTravel(user: string, samples: readonly Sample[]): Promise<void> {
  const [writer, puller] = [await world.openDevice(user), await world.openDevice(user)];
  await attach(writer, user);
  await attach(puller, user);
  const ids = samples.map((_, index) => String(index).padStart(5, '0'));
  samples.forEach((sample, index) => writer.sql(toSql(sample, ids[index] ?? '')));
  const written = writer.rows(DUMP);
  expect(written).toHaveLength(samples.length);
  expect((await writer.client.sync()).push).toMatchObject({ outcome: 'committed', quarantined: [] });
  expect((await writer.client.sync()).push.outcome).toBe('no_change');
  await puller.client.sync();
  const joiner = await world.openDevice(user);
  await attach(joiner, user);
  expect(writer.rows(DUMP)).toEqual(written);
  expect(puller.rows(DUMP)).toEqual(written);
  expect(joiner.rows(DUMP)).toEqual(written);
}

it('[I9] [T55] [K11] [C2] the edges of every type travel SQLite → PostgreSQL → SQLite without a changed bit', async () => {
  await expectExactTravel('edges', EDGES);
  const [extreme] = await world.query(
    `SELECT big::text, exact::text, (wide = '1.7976931348623157e308')::text AS wide FROM business.samples WHERE id = '00001'`,
  );
  expect(extreme).toEqual({ big: '9223372036854775807', exact: '999999999999999999999.999999999', wide: 'true' });
  const [bytes] = await world.query(`SELECT encode(bytes, 'hex') AS hex FROM business.samples WHERE octet_length(bytes) = 256`);
  expect(bytes).toEqual({ hex: EVERY_BYTE });
});

it('[I9] [T115] [C2] generated values travel SQLite → PostgreSQL → SQLite without a changed bit', async () => {
  const finite = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => (Object.is(value, -0) ? 0 : value));
  const sample: fc.Arbitrary<Sample> = fc.record({
    big: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String),
    wide: finite,
    narrow: fc.float({ noNaN: true, noDefaultInfinity: true }).map((value) => (Object.is(value, -0) ? 0 : value)),
    bytes: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('hex')),
    words: fc.string({ unit: 'binary', maxLength: 30 }).map((text) => text.replaceAll('\0', '')),
  });
  await expectExactTravel('generated', fc.sample(sample, { numRuns: 400, seed: 20260722 }));
});
