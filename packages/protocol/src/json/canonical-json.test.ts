import canonicalize from 'canonicalize';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJson, JsonNumber, JsonValueError, parseJson, stringifyJson } from '../index.ts';

const texts = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc.string({ unit: 'binary', maxLength: 6 }),
  fc.constantFrom(
    '<b>',
    '&',
    '\u2028',
    '\u2029',
    '\u007f',
    '\u0000',
    '\u001f',
    '\b\f\n\r\t"\\/',
    '\ue000',
    '😀',
    '__proto__',
    '10',
    '9',
  ),
);

const { value: values } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constant(null),
    fc.boolean(),
    texts,
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.integer(),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(texts, tie('value'), { maxKeys: 5 }),
  ),
}));

describe('[T117] canonical JSON', () => {
  it('equals the reference implementation on generated values, and its text reads back to itself', () => {
    const property = fc.property(values, (value) => {
      const expected = canonicalize(value) ?? '';
      const read = parseJson(JSON.stringify(value), { depthMax: 64 });
      if (canonicalJson(read) !== expected) throw new Error(`${canonicalJson(read)} instead of ${expected}`);
      if (canonicalJson(parseJson(expected, { depthMax: 64 })) !== expected) throw new Error(`not a fixed point: ${expected}`);
    });
    fc.assert(property, { numRuns: 100_000 });
  });

  it('gives the example of RFC 8785', () => {
    const text = String.raw`{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}`;
    const expected = String.raw`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`;
    expect(canonicalJson(parseJson(text, { depthMax: 3 }))).toBe(expected);
  });

  it('sorts names by UTF-16 units, also those that look like array indexes', () => {
    const text = String.raw`{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7,"10":8,"9":9,"\ue000":10}`;
    const sorted = canonicalJson(parseJson(text, { depthMax: 1 }));
    const order = [...sorted.matchAll(/:(\d+)/g)].map((match) => match[1]).join(' ');
    expect(order).toBe('2 4 8 9 6 7 1 5 10 3');
  });

  it('gives the number samples of RFC 8785 appendix B', () => {
    const samples: readonly (readonly [string, string])[] = [
      ['0000000000000000', '0'],
      ['8000000000000000', '0'],
      ['0000000000000001', '5e-324'],
      ['8000000000000001', '-5e-324'],
      ['7fefffffffffffff', '1.7976931348623157e+308'],
      ['ffefffffffffffff', '-1.7976931348623157e+308'],
      ['4340000000000000', '9007199254740992'],
      ['c340000000000000', '-9007199254740992'],
      ['4430000000000000', '295147905179352830000'],
      ['44b52d02c7e14af5', '9.999999999999997e+22'],
      ['44b52d02c7e14af6', '1e+23'],
      ['44b52d02c7e14af7', '1.0000000000000001e+23'],
      ['444b1ae4d6e2ef4e', '999999999999999700000'],
      ['444b1ae4d6e2ef4f', '999999999999999900000'],
      ['444b1ae4d6e2ef50', '1e+21'],
      ['3eb0c6f7a0b5ed8c', '9.999999999999997e-7'],
      ['3eb0c6f7a0b5ed8d', '0.000001'],
      ['41b3de4355555553', '333333333.3333332'],
      ['41b3de4355555554', '333333333.33333325'],
      ['41b3de4355555555', '333333333.3333333'],
      ['41b3de4355555556', '333333333.3333334'],
      ['41b3de4355555557', '333333333.33333343'],
      ['becbf647612f3696', '-0.0000033333333333333333'],
      ['43143ff3c1cb0959', '1424953923781206.2'],
    ];
    const view = new DataView(new ArrayBuffer(8));
    for (const [bits, expected] of samples) {
      view.setBigUint64(0, BigInt(`0x${bits}`));
      expect(canonicalJson(view.getFloat64(0)), bits).toBe(expected);
    }
  });

  it('takes numbers as binary64 and refuses those that are not finite', () => {
    expect(canonicalJson(parseJson('[1,2.0,9007199254740993,1e21,-0]', { depthMax: 1 }))).toBe('[1,2,9007199254740992,1e+21,0]');
    expect(canonicalJson(9007199254740993n)).toBe('9007199254740992');
    for (const value of [Infinity, Number.NaN, new JsonNumber('1e400')]) {
      expect(() => canonicalJson([value])).toThrow(new JsonValueError('non_finite'));
    }
  });

  it('refuses unpaired surrogates in values and names', () => {
    for (const value of ['\ud800', { '\udc00': 1 }, ['a\ud800b']])
      expect(() => canonicalJson(value)).toThrow(new JsonValueError('lone_surrogate'));
  });
});

describe('stringifyJson', () => {
  it('keeps digits and member order and leaves undefined members out', () => {
    const value = { b: 9007199254740993n, a: new JsonNumber('1.50'), none: undefined, list: [-0, 'x"', null, true] };
    expect(stringifyJson(value)).toBe('{"b":9007199254740993,"a":1.50,"list":[0,"x\\"",null,true]}');
  });

  it('gives back a compact document as it was read', () => {
    const property = fc.property(values, (value) => {
      const text = JSON.stringify(value);
      if (stringifyJson(parseJson(text, { depthMax: 64 })) !== text) throw new Error(text);
    });
    fc.assert(property, { numRuns: 5000 });
  });

  it('refuses what has no JSON text', () => {
    expect(() => stringifyJson(Number.NaN)).toThrow(new JsonValueError('non_finite'));
    expect(() => stringifyJson('\ud800')).toThrow(new JsonValueError('lone_surrogate'));
  });
});
