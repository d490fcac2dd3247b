import { expect, test } from 'vitest';

import { bindNumbered, bindStatement } from './bound-statement.ts';

test('values stand in the text as parameters and, for drivers that keep nothing, as literals', () => {
  const statement = bindStatement((bind) => `SELECT ${bind('text', "it's $1")}, ${bind('int8', 7n)}, ${bind('uuid', null)}`);
  expect(statement).toMatchObject({
    text: 'SELECT $1::text, $2::int8, $3::uuid',
    types: ['text', 'int8', 'uuid'],
    literals: ["'it''s $1'", "'7'", 'NULL'],
    inline: "SELECT 'it''s $1'::text, '7'::int8, NULL::uuid",
  });
});

test('what looks like a parameter inside a name or a constant is left alone', () => {
  const text = `SELECT "a ""$1"" b", 'it''s $2', $2::text, $1::int8 FROM "$2" WHERE $2::text <> '$1'`;
  const { inline } = bindNumbered(text, [
    ['int8', 5n],
    ['text', '$1'],
  ]);
  expect(inline).toBe(`SELECT "a ""$1"" b", 'it''s $2', '$1'::text, '5'::int8 FROM "$2" WHERE '$1'::text <> '$1'`);
});

test('SQL can take the place of a value, with the same text and so the same plan', () => {
  const term = { sql: 'current_setting($$a$$)' };
  const numbered = bindNumbered('SELECT $1::int8, $2::text', [
    ['int8', term],
    ['text', 'y'],
  ]);
  const bound = bindStatement((bind) => `SELECT ${bind('int8', term)}, ${bind('text', 'y')}`);
  for (const statement of [numbered, bound]) {
    expect(statement).toMatchObject({
      text: 'SELECT $1::int8, $2::text',
      literals: [term.sql, "'y'"],
      inline: "SELECT current_setting($$a$$)::int8, 'y'::text",
    });
  }
});
