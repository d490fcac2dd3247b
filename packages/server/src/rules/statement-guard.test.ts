import { describe, expect, it } from 'vitest';

import { inspectSql, splitStatements } from './statement-guard.ts';

it('splits a script at the semicolons between its statements only', () => {
  const first = `SELECT ';', $$;$$, "a;b" /* ; */ -- ;\n FROM t`;
  expect(splitStatements(`; ${first};\n/* x; */ DELETE FROM t ;;`)).toEqual([first, 'DELETE FROM t']);
  expect(splitStatements(' -- nothing')).toEqual([]);
});

describe('the guard of write callbacks', () => {
  it.each([
    ['select 1', ['SELECT']],
    ['/* a /* nested */ comment */ -- and another\n  Insert INTO t VALUES (1)', ['INSERT']],
    [`SELECT ';COMMIT', "a;ROLLBACK", E'it\\'s;COMMIT', $$;COMMIT$$, $x$;$$ COMMIT;$x$`, ['SELECT']],
    ['SELECT 1; UPDATE t SET a = 1;;  ', ['SELECT', 'UPDATE']],
    ['(SELECT 1) UNION (SELECT 2)', ['']],
    ['SELECT a$b$c, $1 FROM t; DELETE FROM t', ['SELECT', 'DELETE']],
    [`SELECT 'a''; COMMIT; --'; DELETE FROM t`, ['SELECT', 'DELETE']],
    ['', []],
    ['-- nothing', []],
  ])('lists the statements of %j', (sql, words) => {
    expect(inspectSql(sql)).toEqual({ words, fault: undefined });
  });

  it.each([
    'BEGIN',
    'begin work',
    'START TRANSACTION',
    ' /* x */ commit',
    'END',
    'ROLLBACK TO SAVEPOINT a',
    'ABORT',
    'SAVEPOINT a',
    'RELEASE a',
    'SET LOCAL timezone = 1',
    'SET CONSTRAINTS ALL DEFERRED',
    'RESET ALL',
    'DISCARD ALL',
    `PREPARE TRANSACTION 'x'`,
    'LISTEN c',
    'SELECT 1; COMMIT',
    `SELECT '\\'; COMMIT`,
    'SELECT $$x$$; COMMIT',
    'SELECT a$$b$$; COMMIT',
    'SELECT 1 AS ü$$; COMMIT',
    '/* a */COMMIT',
  ])('refuses %j', (sql) => {
    expect(inspectSql(sql).fault).toMatch(/belongs? to the library|outlive/);
  });
});
