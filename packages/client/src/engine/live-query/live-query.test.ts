import type { SyncError } from '@oversync/protocol';
import { describe, expect, test } from 'vitest';

import { createChangeWorld } from '../test-change-world.ts';
import type { ChangeWorld } from '../test-change-world.ts';
import type { LiveQuery, QueryRow } from './live-query.ts';

async function world(): Promise<ChangeWorld> {
  const created = createChangeWorld();
  await created.driver.exec(`
    CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT, n INTEGER) WITHOUT ROWID;
    CREATE TABLE tags (id TEXT PRIMARY KEY NOT NULL, note TEXT);
    CREATE TABLE "Odd Name" (id INTEGER PRIMARY KEY);
    CREATE INDEX notes_n ON notes(n);
    CREATE VIEW tagged AS SELECT notes.title, tags.id FROM notes JOIN tags ON tags.note = notes.id;
    INSERT INTO notes VALUES ('a', 'first', 1);
  `);
  return created;
}

function collect(query: LiveQuery): {
  readonly results: (readonly QueryRow[])[];
  readonly errors: SyncError[];
  readonly end: () => void;
} {
  const results: (readonly QueryRow[])[] = [];
  const errors: SyncError[] = [];
  const end = query.subscribe(
    (rows) => results.push(rows),
    (error) => errors.push(error),
  );
  return { results, errors, end };
}

const insertNote = (of: ChangeWorld, id: string): Promise<unknown> =>
  of.driver.run('INSERT INTO notes VALUES (?, ?, ?)', [id, `title of ${id}`, 2n]);

describe('live queries', () => {
  test('[T112] the first result comes at once, then one after each commit that changed it', async () => {
    const of = await world();
    const { results, end } = collect(of.live('SELECT id FROM notes ORDER BY id'));
    await of.clock.settle();
    expect(results).toEqual([[['a']]]);
    await insertNote(of, 'b');
    await of.clock.settle();
    expect(results).toEqual([[['a']], [['a'], ['b']]]);
    end();
  });

  test('[T112] parameters are bound, and a result equal to the last one is not passed on', async () => {
    const of = await world();
    const { results, end } = collect(of.live("SELECT title, x'00ff' FROM notes WHERE id = ?", ['a']));
    await of.clock.settle();
    await insertNote(of, 'b');
    await of.clock.settle();
    expect(of.reads.filter((sql) => sql.startsWith('SELECT title'))).toHaveLength(2);
    expect(results).toHaveLength(1);
    end();
  });

  const readers: readonly (readonly [string, string, readonly string[]])[] = [
    ['a table without rowid', 'SELECT title FROM notes', ['notes']],
    ['a covering index', 'SELECT n FROM notes WHERE n > 0', ['notes']],
    ['a view', 'SELECT * FROM tagged', ['notes', 'tags']],
    ['a name with a space', 'SELECT count(*) FROM "Odd Name"', ['odd name']],
    ['a sub-query', 'SELECT 1 WHERE EXISTS (SELECT 1 FROM tags)', ['tags']],
    ['an ordinary table expression', 'WITH x AS (SELECT id FROM tags) SELECT * FROM x', ['tags']],
    ['JSON functions', "SELECT value FROM json_each('[1]'), tags", ['tags']],
    ['no table at all', 'SELECT 1', []],
  ];
  const writes: Readonly<Record<string, string>> = {
    notes: "INSERT INTO notes VALUES ('z', 'z', 9)",
    tags: "INSERT INTO tags VALUES ('z', 'a')",
    'odd name': 'INSERT INTO "Odd Name" DEFAULT VALUES',
  };
  for (const [what, sql, tables] of readers) {
    test(`[T112] ${what}: only writes to the tables it really reads run it again`, async () => {
      const of = await world();
      const { end } = collect(of.live(sql));
      await of.clock.settle();
      for (const [table, write] of Object.entries(writes)) {
        of.reads.length = 0;
        await of.driver.run(write);
        await of.clock.settle();
        expect(of.reads.includes(sql)).toBe(tables.includes(table));
      }
      end();
    });
  }

  test('[T112] behind a virtual table anything may matter', async () => {
    const of = await world();
    await of.driver.exec('CREATE VIRTUAL TABLE search USING fts5(body)');
    const { results, end } = collect(of.live("SELECT rowid FROM search WHERE search MATCH 'word'"));
    await of.clock.settle();
    await of.driver.run("INSERT INTO search(body) VALUES ('a word')");
    await of.clock.settle();
    expect(results.map((rows) => rows.length)).toEqual([0, 1]);
    end();
  });

  test('[T112] tables given by the caller are the ones that count', async () => {
    const of = await world();
    const { end } = collect(of.live('SELECT id FROM notes', [], { tables: ['TAGS'] }));
    await of.clock.settle();
    of.reads.length = 0;
    await insertNote(of, 'b');
    await of.clock.settle();
    expect(of.reads).toEqual([]);
    await of.driver.run("INSERT INTO tags VALUES ('t', 'b')");
    await of.clock.settle();
    expect(of.reads).toEqual(['SELECT id FROM notes']);
    end();
  });

  test('[T112] commits during a run are one more run, and runs never overlap', async () => {
    const of = await world();
    const all = of.driver.all.bind(of.driver);
    const slow = Promise.withResolvers<undefined>();
    let running = 0;
    let most = 0;
    let runs = 0;
    of.driver.all = async (sql, params) => {
      if (!sql.startsWith('SELECT id')) return all(sql, params);
      running += 1;
      runs += 1;
      most = Math.max(most, running);
      const rows = await all(sql, params);
      await slow.promise;
      running -= 1;
      return rows;
    };
    const { results, end } = collect(of.live('SELECT id FROM notes ORDER BY id'));
    await of.clock.settle();
    for (const id of ['b', 'c', 'd']) await insertNote(of, id);
    await of.clock.settle();
    expect(runs).toBe(1);
    slow.resolve(undefined);
    await of.clock.settle();
    expect([runs, most]).toEqual([2, 1]);
    expect(results.at(-1)?.length).toBe(4);
    end();
  });

  test('[T112] with a debounce, the commits of the quiet time are one run at its end, and it cannot be put off', async () => {
    const of = await world();
    const { results, end } = collect(of.live('SELECT id FROM notes', [], { debounceMs: 100 }));
    await of.clock.settle();
    for (const id of ['b', 'c', 'd', 'e']) {
      await insertNote(of, id);
      await of.clock.advance(30);
    }
    expect(results.map((rows) => rows.length)).toEqual([1, 5]);
    expect(of.clock.timerCount).toBe(0);
    end();
  });

  test('[T112] a transaction is seen whole or not at all: no empty step while rows are replaced', async () => {
    const of = await world();
    const { results, end } = collect(of.live('SELECT id FROM notes'));
    await of.clock.settle();
    await of.driver.transaction('immediate', async (tx) => {
      await tx.run('DELETE FROM notes');
      await of.clock.settle();
      await tx.run("INSERT INTO notes VALUES ('b', 'second', 1)");
    });
    await of.clock.settle();
    expect(results).toEqual([[['a']], [['b']]]);
    end();
  });

  test('[T112] after unsubscribing nothing is called, also not by a run under way, and nothing runs', async () => {
    const of = await world();
    const { results, end } = collect(of.live('SELECT id FROM notes', [], { debounceMs: 50 }));
    end();
    await of.clock.settle();
    expect(results).toEqual([]);
    await insertNote(of, 'b');
    expect(of.clock.timerCount).toBe(0);
    of.reads.length = 0;
    await of.clock.advance(1000);
    expect(of.reads).toEqual([]);
  });

  test('[T112] an error goes to the subscriber once, and the query recovers with the next change', async () => {
    const of = await world();
    const { results, errors, end } = collect(of.live('SELECT id FROM later'));
    await of.clock.settle();
    expect(errors).toMatchObject([{ code: 'storage_failed', details: { sqliteCode: 1 } }]);
    await insertNote(of, 'b');
    await of.clock.settle();
    expect(errors).toHaveLength(1);
    await of.driver.exec("CREATE TABLE later (id TEXT); INSERT INTO later VALUES ('x')");
    await of.clock.settle();
    expect(results).toEqual([[['x']]]);
    await of.driver.run("INSERT INTO later VALUES ('y')");
    await of.clock.settle();
    expect(results.at(-1)).toEqual([['x'], ['y']]);
    end();
  });

  test('[T112] a view that is made anew leads to its new tables', async () => {
    const of = await world();
    await of.driver.exec('CREATE VIEW items AS SELECT id FROM notes');
    const { results, end } = collect(of.live('SELECT * FROM items'));
    await of.clock.settle();
    await of.driver.exec("DROP VIEW items; CREATE VIEW items AS SELECT id FROM tags; INSERT INTO tags VALUES ('t', 'a')");
    await of.clock.settle();
    await of.driver.run("INSERT INTO tags VALUES ('u', 'a')");
    await of.clock.settle();
    expect(results).toEqual([[['a']], [['t']], [['t'], ['u']]]);
    end();
  });

  test('a statement that writes is no query', async () => {
    const of = await world();
    const { errors, end } = collect(of.live('DELETE FROM notes RETURNING id'));
    await of.clock.settle();
    expect(errors).toMatchObject([{ code: 'invalid_argument', details: { argument: 'sql' } }]);
    expect(await of.driver.all('SELECT count(*) FROM notes')).toEqual([[1n]]);
    end();
  });

  test('subscribers share one run; a later one gets the last result at once; one that throws does not disturb', async () => {
    const of = await world();
    const query = of.live('SELECT id FROM notes');
    const endBad = query.subscribe(() => {
      throw new Error('a subscriber');
    });
    const first = collect(query);
    await of.clock.settle();
    const second = collect(query);
    expect(second.results).toEqual(first.results);
    of.reads.length = 0;
    await insertNote(of, 'b');
    await of.clock.settle();
    expect(of.reads.filter((sql) => sql === 'SELECT id FROM notes')).toHaveLength(1);
    expect(second.results).toHaveLength(2);
    for (const end of [endBad, first.end, second.end]) end();
  });

  test('[T112] as an iterable it yields the newest result, skips replaced ones, and ends with the loop', async () => {
    const of = await world();
    const seen: number[] = [];
    for await (const rows of of.live('SELECT id FROM notes')) {
      seen.push(rows.length);
      if (seen.length === 3) break;
      await insertNote(of, `${seen.length}-x`);
      await of.clock.settle();
      await insertNote(of, `${seen.length}-y`);
      await of.clock.settle();
    }
    expect(seen).toEqual([1, 3, 5]);
    of.reads.length = 0;
    await insertNote(of, 'after');
    await of.clock.settle();
    expect(of.reads).toEqual([]);
  });

  test('an iteration throws the error of its query, and ends when the client closes', async () => {
    const of = await world();
    const iterate = async (sql: string): Promise<number> => {
      let count = 0;
      for await (const rows of of.live(sql)) count += rows.length;
      return count;
    };
    await expect(iterate('SELECT nothing')).rejects.toMatchObject({ code: 'storage_failed' });
    const counted = iterate('SELECT id FROM notes');
    await of.clock.settle();
    of.queries.close();
    expect(await counted).toBe(1);
    await expect(iterate('SELECT id FROM notes')).rejects.toMatchObject({ code: 'client_closed' });
  });

  test('wrong arguments are refused when the query is made', async () => {
    const of = await world();
    expect(() => of.live(' ')).toThrow(expect.objectContaining({ code: 'invalid_argument', details: { argument: 'sql' } }));
    expect(() => of.live('SELECT 1', [], { debounceMs: -1 })).toThrow(
      expect.objectContaining({ details: { argument: 'debounceMs' } }),
    );
  });

  test('[T112] with 1,000 live queries on 20 tables a write runs only those of its table', async () => {
    const of = createChangeWorld();
    for (let table = 0; table < 20; table += 1) await of.driver.exec(`CREATE TABLE t${table} (id INTEGER PRIMARY KEY, v TEXT)`);
    const ends: (() => void)[] = [];
    for (let query = 0; query < 1000; query += 1) {
      ends.push(of.live(`SELECT v FROM t${query % 20} WHERE id > ?`, [BigInt(query)]).subscribe(() => undefined));
    }
    await of.driver.all('SELECT 0');
    await of.clock.settle();
    of.reads.length = 0;
    await of.driver.run("INSERT INTO t7 VALUES (5000, 'x')");
    await of.clock.settle();
    const runs = of.reads.filter((sql) => sql.startsWith('SELECT v'));
    expect(new Set(runs)).toEqual(new Set(['SELECT v FROM t7 WHERE id > ?']));
    expect(runs).toHaveLength(50);
    for (const end of ends) end();
  });
});
