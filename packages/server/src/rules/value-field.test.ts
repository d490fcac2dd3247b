import { JsonNumber, parseJson } from '@oversync/protocol';
import type { JsonValue } from '@oversync/protocol';
import { describe, expect, it } from 'vitest';

import { describeColumn } from './test-table.ts';
import { createValueReader, isBareFamily, quoteField } from './value-field.ts';

const INT8 = createValueReader(describeColumn('n', 'integer', { integerType: 'int8' }));
const INT2 = createValueReader(describeColumn('n', 'integer', { integerType: 'int2' }));
const NUMERIC = createValueReader(describeColumn('n', 'numeric'));
const FLOAT4 = createValueReader(describeColumn('n', 'float4'));
const FLOAT8 = createValueReader(describeColumn('n', 'float8'));
const BOOLEAN = createValueReader(describeColumn('b', 'boolean'));
const BYTEA = createValueReader(describeColumn('b', 'bytea'));
const TEXT = createValueReader(describeColumn('t', 'text'));
const JSON_NESTED = createValueReader(describeColumn('j', 'json'));
const JSON_TEXT = createValueReader(describeColumn('j', 'json', { jsonAsText: true }));

describe('a pushed value', () => {
  it.each([
    ['int8 min', INT8, '-9223372036854775808'],
    ['int8 max', INT8, '9223372036854775807'],
    ['2^53 + 1', INT8, '9007199254740993'],
    ['int2 min', INT2, '-32768'],
    ['a decimal', NUMERIC, '1234567890.123456789'],
    ['a decimal with exponent', NUMERIC, '1.25e3'],
    ['a decimal with a large exponent', NUMERIC, '1e-1000'],
    ['the smallest subnormal', FLOAT8, '5e-324'],
    ['the largest double', FLOAT8, '1.7976931348623157e+308'],
  ])('[C2] passes %s on as it was sent', (_, read, text) => {
    expect(read(text)).toBe(text);
  });

  it('of float4 is rounded from its binary64, not from its digits', () => {
    expect(FLOAT4('1.2345678901234567')).toBe('1.2345678806304932');
    expect(FLOAT4('1.0000000596046448')).toBe('1');
  });

  it.each([
    ['legacy_json_number', INT8, 42],
    ['legacy_json_number', NUMERIC, new JsonNumber('1.25')],
    ['legacy_json_number', FLOAT8, new JsonNumber('1.25')],
    ['leading_plus', INT8, '+1'],
    ['leading_zero', INT8, '01'],
    ['negative_zero', INT8, '-0'],
    ['fraction', INT8, '1.5'],
    ['exponent', INT8, '1e3'],
    ['negative_zero', NUMERIC, '-0.0e10'],
    ['malformed', NUMERIC, '1.'],
    ['malformed', INT8, true],
    ['malformed', NUMERIC, []],
    ['non_finite', NUMERIC, 'NaN'],
    ['noncanonical', FLOAT8, '1.0'],
    ['non_finite', FLOAT8, 'Infinity'],
    ['invalid_boolean_bridge', BOOLEAN, 'true'],
    ['invalid_boolean_bridge', BOOLEAN, '2'],
    ['invalid_boolean_bridge', BOOLEAN, {}],
  ] as const)('is refused as %s', (category, read, value) => {
    expect(read(value as JsonValue)).toEqual({ kind: 'number_format', category });
  });

  it.each([
    [INT8, '9223372036854775808'],
    [INT2, '32768'],
    [NUMERIC, '1e1001'],
    [NUMERIC, '-1E-99999999999999999999'],
    [FLOAT4, '3.5e+38'],
    [FLOAT4, '1e-50'],
  ])('outside the range of its column says so', (read, text) => {
    expect(read(text)).toEqual({ kind: 'out_of_range', category: 'out_of_range' });
  });

  it.each([
    [true, 't'],
    [false, 'f'],
    ['1', 't'],
    ['0', 'f'],
  ])('%j is a boolean', (value, text) => {
    expect(BOOLEAN(value)).toBe(text);
  });

  it('of bytea is canonical base64 of every byte', () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    expect(BYTEA(Buffer.from(bytes).toString('base64'))).toBe(`\\x${hex}`);
    expect(BYTEA('')).toBe('\\x');
    expect(BYTEA('AB==')).toEqual({ kind: 'invalid_text' });
    expect(BYTEA('A')).toEqual({ kind: 'invalid_text' });
    expect(BYTEA(1)).toEqual({ kind: 'payload' });
  });

  it.each([TEXT, JSON_TEXT])('of a text column is a string without U+0000', (read) => {
    expect(read('é\u{1F600}\u2028')).toBe('é\u{1F600}\u2028');
    expect(read('')).toBe('');
    expect(read('a\0b')).toEqual({ kind: 'nul_character' });
    expect(read(1)).toEqual({ kind: 'payload' });
  });

  it('of a json column keeps the digits of its numbers', () => {
    const value = parseJson('{"b":[1,2.0,9007199254740993,1e21,-0],"a":{}}', { depthMax: 10 });
    expect(JSON_NESTED(value)).toBe('{"b":[1,2.0,9007199254740993,1e21,-0],"a":{}}');
  });

  it.each([
    ['{"a":["\\u0000"]}', { kind: 'nul_character' }],
    ['{"a\\u0000":1}', { kind: 'nul_character' }],
    ['[1e400]', { kind: 'number_format', category: 'non_finite' }],
    ['-1e999', { kind: 'number_format', category: 'non_finite' }],
  ])('of a json column cannot be %s', (text, failure) => {
    expect(JSON_NESTED(parseJson(text, { depthMax: 10 }))).toEqual(failure);
  });
});

describe('a field of a row literal', () => {
  it('doubles quotes and backslashes', () => {
    expect(quoteField('a"b\\c')).toBe('"a""b\\\\c"');
    expect(quoteField('')).toBe('""');
  });

  it('stands bare only for families that need no quotes', () => {
    expect(['integer', 'numeric', 'float4', 'float8', 'boolean'].every((family) => isBareFamily(family as 'integer'))).toBe(true);
    expect(['text', 'bytea', 'json', 'uuid', 'timestamptz', 'datetime'].some((family) => isBareFamily(family as 'text'))).toBe(
      false,
    );
  });
});
