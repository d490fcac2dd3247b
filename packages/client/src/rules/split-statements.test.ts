import { describe, expect, test } from 'vitest';

import { splitStatements } from './split-statements.ts';

describe('scripts are split', () => {
  test('at semicolons, but not at those in strings, names and comments', () => {
    expect(
      splitStatements(`SELECT ';' ; INSERT INTO "a;b" VALUES ('it''s; so'); -- a; comment
      DELETE FROM [c;d] /* ; */ WHERE \`e;f\` = 1; SELECT 1`),
    ).toEqual([
      `SELECT ';'`,
      `INSERT INTO "a;b" VALUES ('it''s; so')`,
      `-- a; comment\n      DELETE FROM [c;d] /* ; */ WHERE \`e;f\` = 1`,
      'SELECT 1',
    ]);
  });

  test('with the body of a trigger kept together, also with CASE … END in it', () => {
    const trigger = `CREATE TEMP TRIGGER x AFTER INSERT ON t WHEN CASE WHEN 1 THEN 1 END BEGIN
      UPDATE t SET a = CASE a WHEN 1 THEN 2 END; INSERT INTO "end" VALUES (';');
    end`;
    expect(splitStatements(`${trigger}; SELECT 1`)).toEqual([trigger, 'SELECT 1']);
    expect(splitStatements('CREATE TABLE trigger_log (a); SELECT 2')).toEqual(['CREATE TABLE trigger_log (a)', 'SELECT 2']);
  });

  test('without statements of nothing but space and comments', () => {
    expect(splitStatements(' ; ;; -- nothing\n; /* nothing */')).toEqual([]);
  });
});
