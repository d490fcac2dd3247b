import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkBooleanBridge, checkDecimalText, checkFloatText, checkIntegerText, formatFloat, JsonNumber } from '../index.ts';
import type { JsonValue, NumberCategory } from '../index.ts';

const INT8 = [-(2n ** 63n), 2n ** 63n - 1n] as const;

function expectCategories(
  check: (value: JsonValue) => NumberCategory | null,
  table: Readonly<Record<string, NumberCategory | null>>,
): void {
  for (const [text, category] of Object.entries(table)) expect(check(text), text).toBe(category);
}

describe('[T114] integer text', () => {
  it('is canonical decimal inside the range of the column', () => {
    expectCategories((value) => checkIntegerText(value, -32768n, 32767n), {
      '0': null,
      '7': null,
      '-32768': null,
      '32767': null,
      '32768': 'out_of_range',
      '-32769': 'out_of_range',
    });
    expectCategories((value) => checkIntegerText(value, ...INT8), {
      '9223372036854775807': null,
      '-9223372036854775808': null,
      '9223372036854775808': 'out_of_range',
      '99999999999999999999999999999999': 'out_of_range',
    });
  });

  it('is refused with the category that says why', () => {
    expectCategories((value) => checkIntegerText(value, ...INT8), {
      '+1': 'leading_plus',
      '+': 'malformed',
      '01': 'leading_zero',
      '-01': 'leading_zero',
      '00': 'leading_zero',
      '-0': 'negative_zero',
      '1.5': 'fraction',
      '1.5e3': 'fraction',
      '1e3': 'exponent',
      '-2E+1': 'exponent',
      '1.': 'malformed',
      '1e': 'malformed',
      '': 'malformed',
      ' 1': 'malformed',
      '1\n': 'malformed',
      '١': 'malformed',
      '0x1': 'malformed',
      NaN: 'non_finite',
      Infinity: 'non_finite',
    });
  });

  it('accepts exactly what a bigint prints', () => {
    const property = fc.property(fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }), (integer) => {
      const isInside = integer >= INT8[0] && integer <= INT8[1];
      expect(checkIntegerText(integer.toString(), ...INT8)).toBe(isInside ? null : 'out_of_range');
    });
    fc.assert(property, { numRuns: 2000 });
  });
});

describe('[T114] decimal text', () => {
  it('keeps scale and exponent and refuses every negative zero', () => {
    expectCategories(checkDecimalText, {
      '1234567890.123456789': null,
      '1.25e3': null,
      '1E-7': null,
      '0.00': null,
      '-0.10': null,
      '-0': 'negative_zero',
      '-0.000': 'negative_zero',
      '-0.0e10': 'negative_zero',
      '-0e5': 'negative_zero',
      '+1.25': 'leading_plus',
      '01.25': 'leading_zero',
      '1.': 'malformed',
      '.5': 'malformed',
      '1e': 'malformed',
      '1e05': 'malformed',
      '1,5': 'malformed',
      NaN: 'non_finite',
      '-Infinity': 'non_finite',
    });
  });
});

describe('[T114] float text', () => {
  it('is exactly one spelling per value', () => {
    expectCategories((value) => checkFloatText(value, 'float8'), {
      '0': null,
      '1': null,
      '9007199254740992': null,
      '1000000000000000': null,
      '1e+21': null,
      '123456789012345680000': null,
      '0.000001': null,
      '1e-7': null,
      '5e-324': null,
      '1.7976931348623157e+308': null,
      '22678212089436850': null,
      '2.2678212089436848e+16': 'noncanonical',
      '22678212089436848': 'noncanonical',
      '1.0': 'noncanonical',
      '1e0': 'noncanonical',
      '1e21': 'noncanonical',
      '-0': 'noncanonical',
      '1e-400': 'noncanonical',
      '1e+400': 'non_finite',
      '1e': 'malformed',
      '+1': 'leading_plus',
      '01': 'leading_zero',
      NaN: 'non_finite',
      Infinity: 'non_finite',
      '-Infinity': 'non_finite',
    });
  });

  it('of a float4 neither overflows nor vanishes', () => {
    expectCategories((value) => checkFloatText(value, 'float4'), {
      '0': null,
      '1.2345678901234567': null,
      '3.4028234663852886e+38': null,
      '1e-45': null,
      '3.5e+38': 'out_of_range',
      '-3.5e+38': 'out_of_range',
      '1e-50': 'out_of_range',
    });
  });

  it('of every finite double is its own spelling and reads back to the same bits', () => {
    const property = fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
      const text = formatFloat(value);
      expect(checkFloatText(text, 'float8')).toBeNull();
      expect(Object.is(Number(text), value === 0 ? 0 : value)).toBe(true);
    });
    fc.assert(property, { numRuns: 5000 });
  });
});

describe('[T114] other values', () => {
  it('refuse JSON numbers in every numeric family', () => {
    for (const value of [42, new JsonNumber('1.25'), new JsonNumber('9007199254740993')]) {
      expect(checkIntegerText(value, ...INT8)).toBe('legacy_json_number');
      expect(checkDecimalText(value)).toBe('legacy_json_number');
      expect(checkFloatText(value, 'float8')).toBe('legacy_json_number');
      expect(checkBooleanBridge(value)).toBe('legacy_json_number');
    }
  });

  it('of no numeric kind are malformed', () => {
    for (const value of [true, {}, [], null]) {
      expect(checkIntegerText(value, ...INT8)).toBe('malformed');
      expect(checkDecimalText(value)).toBe('malformed');
      expect(checkFloatText(value, 'float4')).toBe('malformed');
    }
  });

  it('bridge booleans as true, false, "0" and "1" only', () => {
    for (const value of [true, false, '0', '1']) expect(checkBooleanBridge(value)).toBeNull();
    for (const value of ['true', 'false', '2', '', '00', null, {}])
      expect(checkBooleanBridge(value)).toBe('invalid_boolean_bridge');
  });

  it('have no spelling when they are not finite', () => {
    for (const value of [Number.NaN, Infinity, -Infinity]) expect(() => formatFloat(value)).toThrow(RangeError);
    expect(formatFloat(-0)).toBe('0');
    expect(formatFloat(Math.fround(1.2345678901234567))).toBe('1.2345678806304932');
  });
});
