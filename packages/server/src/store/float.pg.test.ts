import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { renderFloat } from '../rules/render-sql.ts';
import { openPgFixture } from '../test-pg.ts';
import type { PgFixture } from '../test-pg.ts';
import { createFunctionSql } from './functions.sql.ts';
import { renderFunctionDefinitions } from './float.sql.ts';
import { metadataNames } from './metadata.sql.ts';

/** A small generator with a fixed seed: a failure can be repeated. */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0;
    let mixed = state ^ (state >>> 12);
    mixed = Math.imul(mixed, 0x297a2d39);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 4_294_967_296;
  };
}

const buffer = new DataView(new ArrayBuffer(8));

function fromBits(high: number, low: number): number {
  buffer.setUint32(0, high);
  buffer.setUint32(4, low);
  return buffer.getFloat64(0);
}

function neighbour(value: number, steps: number): number {
  buffer.setFloat64(0, value);
  buffer.setBigInt64(0, buffer.getBigInt64(0) + BigInt(steps));
  return buffer.getFloat64(0);
}

function* randomBits(count: number, random: () => number): Generator<number> {
  for (let index = 0; index < count; index += 1) {
    const value = fromBits(Math.floor(random() * 4_294_967_296), Math.floor(random() * 4_294_967_296));
    yield Number.isFinite(value) ? value : index;
  }
}

function* shortDecimals(count: number, random: () => number): Generator<number> {
  for (let index = 0; index < count; index += 1) {
    const digits = Math.floor(random() * 10 ** (1 + (index % 9)));
    yield Number(`${index % 2 === 0 ? '' : '-'}${String(digits)}e${String(Math.floor(random() * 40) - 20)}`);
  }
}

/** The range in which the digits of PostgreSQL can be longer than the shortest ones. */
function* largeIntegers(count: number, random: () => number): Generator<number> {
  for (let index = 0; index < count; index += 1) {
    yield fromBits(((1023 + 53 + (index % 147)) << 20) | Math.floor(random() * 1_048_576), Math.floor(random() * 4_294_967_296));
  }
}

function* borders(): Generator<number> {
  const bases = [
    0,
    Number.MIN_VALUE,
    Number.MAX_VALUE,
    2.2250738585072014e-308,
    1e-7,
    1e-6,
    1e-5,
    1e-4,
    1e15,
    1e16,
    1e21,
    1e60,
    2 ** 53,
  ];
  for (let exponent = -1074; exponent <= 1023; exponent += 1) bases.push(2 ** exponent);
  for (let exponent = -323; exponent <= 308; exponent += 1)
    bases.push(Number(`1e${String(exponent)}`), Number(`5e${String(exponent)}`));
  for (const base of bases) {
    for (let steps = -8; steps <= 8; steps += 1) {
      const value = base === 0 ? Number.MIN_VALUE * Math.abs(steps) : neighbour(base, steps);
      if (!Number.isFinite(value)) continue;
      yield value;
      yield -value;
    }
  }
}

describe('[C2] float spelling', () => {
  const m = metadataNames('sync');
  let pg: PgFixture;
  beforeAll(async () => {
    pg = await openPgFixture();
    await pg.run(`CREATE SCHEMA sync; CREATE UNLOGGED TABLE public.spelling (js text NOT NULL)`);
    for (const definition of renderFunctionDefinitions()) await pg.run(createFunctionSql(m.schema, definition));
  });
  afterAll(() => pg.close());

  async function countDifferences(values: Iterable<number>, cast: string): Promise<{ total: number; wrong: readonly string[] }> {
    const encoder = new TextEncoder();
    const lines = function* (): Generator<Uint8Array> {
      let text = '';
      for (const value of values) {
        text += `"${String(value === 0 ? 0 : value)}"\n`;
        if (text.length < 65_536) continue;
        yield encoder.encode(text);
        text = '';
      }
      yield encoder.encode(text);
    };
    return pg.transaction(async (tx) => {
      await tx.script('TRUNCATE public.spelling');
      await tx.copyFrom('COPY public.spelling FROM STDIN', lines());
      const rendered = renderFloat('v.x', m, 'NULL');
      const { rows } = await tx.query(
        `SELECT (SELECT count(*) FROM public.spelling), (SELECT string_agg(w.js || ' ' || w.sql, ',') FROM (
           SELECT v.js, ${rendered} AS sql FROM (SELECT js, btrim(js, '"')::${cast} AS x FROM public.spelling OFFSET 0) v
           WHERE ${rendered} <> v.js LIMIT 10) w)`,
      );
      const [total, wrong] = rows[0] ?? [];
      return { total: Number(total), wrong: wrong?.split(',') ?? [] };
    });
  }

  it('equals that of JavaScript for more than a million doubles', async () => {
    const random = createRandom(20_260_722);
    const values = function* (): Generator<number> {
      yield* borders();
      yield* randomBits(350_000, random);
      yield* shortDecimals(350_000, random);
      yield* largeIntegers(250_000, random);
      yield* [22678212089436850, 76423596593151000, 2 ** 53, 123456789012345680000, -0];
    };
    const { total, wrong } = await countDifferences(values(), 'float8');
    expect(wrong).toEqual([]);
    expect(total).toBeGreaterThan(1_000_000);
  });

  it('widens a float4 before it is spelled', async () => {
    const random = createRandom(7);
    const values = function* (): Generator<number> {
      for (let index = 0; index < 100_000; index += 1) {
        buffer.setUint32(0, Math.floor(random() * 4_294_967_296));
        const value = buffer.getFloat32(0);
        yield Number.isFinite(value) ? value : index;
      }
      yield Math.fround(1.2345678901234567);
    };
    expect(await countDifferences(values(), 'float4::float8')).toEqual({ total: 100_001, wrong: [] });
  });

  it('refuses NaN and the infinities', async () => {
    const refuse = `sync.raise_not_representable('s', 't', 'c', ':k')`;
    for (const value of ['NaN', 'Infinity', '-Infinity']) {
      const sql = `SELECT ${renderFloat('v.x', m, refuse)} FROM (SELECT '${value}'::float8 AS x) v`;
      await expect(pg.query(sql)).rejects.toMatchObject({
        sqlState: 'OV002',
        schema: 's',
        table: 't',
        column: 'c',
        detail: ':k',
      });
    }
  });
});
