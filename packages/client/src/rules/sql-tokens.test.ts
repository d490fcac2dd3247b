import * as fc from 'fast-check';
import { expect, test } from 'vitest';

import { replaceParameters, sqlTokens } from './sql-tokens.ts';

test('parameters are found where SQLite sees them, and nowhere else', () => {
  const sql = `SELECT ?, ?2, :name, @at, $x, '?', "a?b", [c?], x$y -- ?
    /* ? */ FROM t WHERE a ->> '$.b' = ?`;
  expect(replaceParameters(sql, (parameter, index) => `<${index}${parameter}>`)).toBe(
    `SELECT <0?>, <1?2>, <2:name>, <3@at>, <4$x>, '?', "a?b", [c?], x$y -- ?
    /* ? */ FROM t WHERE a ->> '$.b' = <5?>`,
  );
});

test('the tokens of any text make up the text', () => {
  const piece = fc.constantFrom("'", '"', '`', '[', ']', '--', '/*', '*/', '\n', ';', '?', ':a', 'word', '😀', ' ');
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      expect(sqlTokens(pieces.join('')).join('')).toBe(pieces.join(''));
    }),
  );
});
