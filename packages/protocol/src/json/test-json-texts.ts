import * as fc from 'fast-check';

/** Texts for the readers: valid, almost valid, and valid but refused by the contract. */

const names = fc.oneof(
  fc.constantFrom('a', 'b', 'id', '__proto__', 'constructor', 'toString', '0', '10', '', 'e1', 'a:b', '":', '\\', '\u00e9', '😀'),
  fc.string({ unit: 'grapheme', maxLength: 3 }),
);

const numberLexemes = fc.constantFrom(
  ...(
    '0 -0 1 -1 1.0 1e3 1E3 -0.0 0e0 9007199254740991 9007199254740992 9007199254740993 -9007199254740991 123456789012345 ' +
    '9223372036854775807 -9223372036854775808 99999999999999999999 5e-324 1e400 0.1 1.50 -1.5E-7'
  ).split(' '),
);

const brokenScalars = fc.constantFrom(..."01 +1 1. .5 1e - --1 1e+ NaN 0x1 1_0 00 -01 nul True truee 'a' ".split(' '));

const spaces = fc.oneof(
  { weight: 40, arbitrary: fc.constant('') },
  { weight: 8, arbitrary: fc.constantFrom(' ', '\n', '\t\r', '  ') },
  { weight: 1, arbitrary: fc.constantFrom('\u00a0', '\u000b', '\ufeff') },
);

/** Mostly nothing: a document with many faults shows only the first. */
function rarely(texts: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc.oneof({ weight: 40, arbitrary: fc.constant('') }, { weight: 1, arbitrary: texts });
}

const strayTexts = fc.constantFrom(
  '\\ud800',
  '\\udc00\\ud800',
  '\\ud83d\\ude00',
  '\ud800',
  '\\u0041',
  '\\q',
  '\u0001',
  '\n',
  '\\u00e',
  ':1.5',
  ',-0',
  '1.0',
);

/** A string literal with some characters escaped, some of them needlessly. */
const literals = fc.tuple(names, fc.nat(7), rarely(strayTexts)).map(([text, mask, stray]) => {
  const units = Array.from({ length: text.length }, (_, index) => text.charCodeAt(index));
  const escaped = units.map((unit, index) =>
    (mask >> (index % 3)) % 2 === 1 || unit < 0x20 || unit === 0x22 || unit === 0x5c || (unit >= 0xd800 && unit <= 0xdfff)
      ? `\\u${unit.toString(16).padStart(4, '0')}`
      : String.fromCharCode(unit),
  );
  return `"${escaped.join('')}${stray}"`;
});

const scalars = fc.oneof(
  { weight: 40, arbitrary: literals },
  { weight: 20, arbitrary: numberLexemes },
  { weight: 20, arbitrary: fc.constantFrom('1', '23', 'true', 'false', 'null') },
  { weight: 1, arbitrary: brokenScalars },
);

const { document } = fc.letrec<{ document: string; value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    scalars,
    fc
      .array(fc.tuple(spaces, tie('value')), { maxLength: 4 })
      .map((items) => `[${items.map(([space, item]) => space + item + space).join(',')}]`),
    fc
      .array(fc.tuple(spaces, literals, spaces, tie('value')), { maxLength: 4 })
      .map(
        (members) =>
          `{${members.map(([first, name, second, item]) => `${first}${name}${second}:${second}${item}${first}`).join(',')}}`,
      ),
  ),
  document: fc.tuple(spaces, tie('value'), spaces).map((parts) => parts.join('')),
}));

/** Generated documents, most of them well formed. */
export const jsonTexts: fc.Arbitrary<string> = document;

const splices = fc.constantFrom(
  '',
  ',',
  ':',
  '"',
  '{',
  '}',
  '[',
  ']',
  '\\',
  ' ',
  '0',
  '.',
  'e',
  '-',
  '\ufeff',
  '"a":1,',
  '{"a":1}',
  '\ud800',
);

/** Documents with a few places cut out or overwritten. */
export const mutatedJsonTexts: fc.Arbitrary<string> = fc
  .tuple(document, fc.array(fc.tuple(fc.nat(), fc.nat(3), splices), { minLength: 1, maxLength: 3 }))
  .map(([text, edits]) =>
    edits.reduce((edited, [place, cut, splice]) => {
      const at = place % (edited.length + 1);
      return edited.slice(0, at) + splice + edited.slice(at + cut);
    }, text),
  );

/** Documents of few names and plain integers: duplicates are frequent and the fast path has to see them. */
export const plainJsonTexts: fc.Arbitrary<string> = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom('1', '-7', '"x"', '"12:30"', '"a,1.5"', '":"', '"\\""', 'true', 'null', '"\\u0061"', '"[-0"'),
    fc.array(tie('value'), { maxLength: 3 }).map((items) => `[${items.join(',')}]`),
    fc
      .array(
        fc.tuple(
          fc.constantFrom('"a"', '"b"', '"c"', '"d"', '"\\u0061"', '"__proto__"'),
          fc.constantFrom(':', ' :', ': '),
          tie('value'),
        ),
        {
          maxLength: 4,
        },
      )
      .map((members) => `{${members.map((member) => member.join('')).join(',')}}`),
  ),
})).value;
