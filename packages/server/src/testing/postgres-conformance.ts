import { PgFault } from '../ports/postgres.ts';
import type { PgStatement, PgTransaction, Postgres } from '../ports/postgres.ts';
import { catchRejection, expectEqual, expectTrue } from './conformance.ts';
import type { ConformanceCase } from './conformance.ts';

const WRITE = { isolation: 'read committed' } as const;

async function collectBytes(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: number[][] = [];
  for await (const chunk of chunks) parts.push([...chunk]);
  return new Uint8Array(parts.flat());
}

function formatHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Runs `fn` in a transaction with a table of its own, which is rolled back. */
async function withTable(db: Postgres, fn: (tx: PgTransaction) => Promise<void>): Promise<void> {
  const undo = new Error('roll back');
  const outcome = await catchRejection(
    () =>
      db.transaction(WRITE, async (tx) => {
        await tx.script('CREATE TABLE conformance_item (id int8 PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, body text)');
        await fn(tx);
        throw undo;
      }),
    'a throw inside a transaction',
  );
  if (outcome !== undo) throw outcome;
}

async function expectFault(fn: () => Promise<unknown>, sqlState: string): Promise<PgFault> {
  const error = await catchRejection(fn, `a statement that fails with ${sqlState}`);
  if (!(error instanceof PgFault)) throw error;
  expectEqual(error.sqlState, sqlState, 'SQLSTATE');
  return error;
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of chunks) text += decoder.decode(chunk, { stream: true });
  return text + decoder.decode();
}

/**
 * What every driver behind the port `Postgres` has to do. The database must be empty and writable; nothing is left behind.
 *
 * @example
 * ```ts
 * for (const { name, run } of postgresConformance) test(name, () => run(createMyDatabase()));
 * ```
 */
export const postgresConformance: readonly ConformanceCase<Postgres>[] = [
  {
    name: 'every value arrives as the text that PostgreSQL writes',
    run: async (db) => {
      const sql = `SELECT 9007199254740993::int8, 1.50::numeric, true, '\\x00ff'::bytea, NULL, ARRAY['a,b','c"d'],
        '{"a": 1}'::jsonb, '2026-01-02 03:04:05+00'::timestamptz AT TIME ZONE 'UTC', 0.1::float8`;
      const expected = [
        '9007199254740993',
        '1.50',
        't',
        '\\x00ff',
        null,
        '{"a,b","c\\"d"}',
        '{"a": 1}',
        '2026-01-02 03:04:05',
        '0.1',
      ];
      expectEqual((await db.query(sql)).rows, [expected], 'values of a query');
      const inside = await db.transaction(WRITE, async (tx) => [(await tx.query(sql)).rows, (await tx.script(sql))[0]?.rows]);
      expectEqual(inside, [[expected], [expected]], 'values inside a transaction');
    },
  },
  {
    name: 'parameters are text, NULL, bytes and text arrays',
    run: async (db) => {
      const params = [
        '-9223372036854775808',
        null,
        new Uint8Array([0, 92, 255]),
        ['plain', 'q"uo\\te', 'a,b', '', null, 'NULL', '{}'],
        't',
      ];
      const { rows } = await db.query(
        `SELECT $1::int8 + 0, $2::text IS NULL, encode($3::bytea, 'hex'), to_json($4::text[])::text, $5::bool`,
        params,
      );
      expectEqual(
        rows,
        [['-9223372036854775808', 't', '005cff', '["plain","q\\"uo\\\\te","a,b","",null,"NULL","{}"]', 't']],
        'parameters',
      );
    },
  },
  {
    name: 'a script gives one result per statement, with rows and row counts',
    run: (db) =>
      withTable(db, async (tx) => {
        const results = await tx.script(
          `INSERT INTO conformance_item VALUES (1, 'a'), (2, 'b'); SELECT id FROM conformance_item ORDER BY id; SELECT 1 WHERE false`,
        );
        expectEqual(
          results.map((result) => [result.rows, result.rowCount]),
          [
            [[], 2],
            [[['1'], ['2']], 2],
            [[], 0],
          ],
          'results',
        );
      }),
  },
  {
    name: 'statements with values give one result each, whether their plans are kept or not; drivers without `run` are excused',
    run: async (db) => {
      const double = (value: string): PgStatement => {
        const literals = [`'${value}'`];
        return { text: 'SELECT $1::int4 * 2', types: ['int4'], literals, inline: `SELECT '${value}'::int4 * 2` };
      };
      for (const value of ['1', '2', '3']) {
        const results = await db.transaction(WRITE, async (tx) => tx.run?.([double(value), 'SELECT 7', double('4')], false));
        const found = results?.map(({ rows }) => rows[0]?.[0]);
        if (found !== undefined) expectEqual(found, [String(2 * Number(value)), '7', '8'], 'results');
      }
      const late = new Error('after the end');
      const caught = await catchRejection(
        () =>
          db.transaction(WRITE, async (tx) => {
            await tx.run?.(['CREATE TABLE conformance_last (id int)'], true);
            throw late;
          }),
        'a throw after the last statements',
      );
      expectEqual(caught, late, 'what was thrown');
      const { rows } = await db.query(`SELECT count(*) FROM pg_class WHERE relname = 'conformance_last'`);
      await db.query('DROP TABLE IF EXISTS conformance_last');
      const hasRun = await db.transaction(WRITE, (tx) => Promise.resolve(tx.run !== undefined));
      expectEqual(rows, [[hasRun ? '1' : '0']], 'tables of the committed transaction');
    },
  },
  {
    name: 'a committed transaction stays, one that throws leaves nothing, and the throw is passed on',
    run: async (db) => {
      await db.query('CREATE TABLE conformance_kept (id int)');
      try {
        await db.transaction(WRITE, (tx) => tx.query('INSERT INTO conformance_kept VALUES (1)'));
        const thrown = new Error('mine');
        const caught = await catchRejection(
          () =>
            db.transaction(WRITE, async (tx) => {
              await tx.query('INSERT INTO conformance_kept VALUES (2)');
              throw thrown;
            }),
          'a transaction that throws',
        );
        expectTrue(caught === thrown, 'the error of the caller is passed on as it is');
        expectEqual((await db.query('SELECT id FROM conformance_kept')).rows, [['1']], 'rows');
      } finally {
        await db.query('DROP TABLE conformance_kept');
      }
    },
  },
  {
    name: 'a fault of a statement carries SQLSTATE, table and constraint, and the database stays usable',
    run: async (db) => {
      const fault = await expectFault(
        () =>
          withTable(db, async (tx) => {
            await tx.script('ALTER TABLE conformance_item ADD CONSTRAINT body_short CHECK (length(body) < 3)');
            await tx.query('INSERT INTO conformance_item VALUES (1, $1)', ['long']);
          }),
        '23514',
      );
      expectEqual(
        [fault.table, fault.constraint, fault.commitSent],
        ['conformance_item', 'body_short', false],
        'facts of the fault',
      );
      await expectFault(() => db.query('SELECT nothing_of_this_name'), '42703');
      expectEqual((await db.query('SELECT 1')).rows, [['1']], 'the next query');
    },
  },
  {
    name: 'a fault at COMMIT that PostgreSQL reports is a rollback, not an open outcome',
    run: async (db) => {
      const fault = await expectFault(
        () =>
          db.transaction(WRITE, async (tx) => {
            await tx.script('CREATE TABLE conformance_late (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)');
            await tx.query('INSERT INTO conformance_late VALUES (1), (1)');
          }),
        '23505',
      );
      expectEqual(fault.commitSent, false, 'commitSent');
      expectEqual((await db.query(`SELECT to_regclass('conformance_late')`)).rows, [[null]], 'the table');
    },
  },
  {
    name: 'a transaction that failed inside cannot look committed',
    run: async (db) => {
      const error = await catchRejection(
        () =>
          db.transaction(WRITE, async (tx) => {
            await tx.query('SELECT 1/0').catch(() => {});
          }),
        'a transaction whose statement failed unnoticed',
      );
      expectTrue(error instanceof PgFault, 'a PgFault');
    },
  },
  {
    name: 'isolation, access mode and settings hold for the transaction and end with it',
    run: async (db) => {
      const read = `SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only'), current_setting('TimeZone')`;
      const begin = {
        isolation: 'repeatable read',
        readOnly: true,
        settings: `SET LOCAL TimeZone='Asia/Tokyo';SET LOCAL lock_timeout=77`,
      } as const;
      expectEqual(
        await db.transaction(begin, async (tx) => (await tx.query(read)).rows),
        [['repeatable read', 'on', 'Asia/Tokyo']],
        'inside',
      );
      const after = await db.transaction(
        WRITE,
        async (tx) => (await tx.query(`${read}, current_setting('lock_timeout')`)).rows[0],
      );
      expectEqual(
        [after?.[0], after?.[1], after?.[2] === 'Asia/Tokyo', after?.[3]],
        ['read committed', 'off', false, '0'],
        'afterwards',
      );
      await expectFault(() => db.transaction(begin, (tx) => tx.query('CREATE TABLE conformance_no (id int)')), '25006');
    },
  },
  {
    name: 'COPY brings text in and out unchanged, however it is cut',
    run: (db) =>
      withTable(db, async (tx) => {
        const text = '1\x02{"a":"é\\n\\"😀"}\n2\x02plain\n';
        const bytes = new TextEncoder().encode(text);
        const format = `FORMAT csv, DELIMITER E'\\x02', QUOTE E'\\x01', NULL E'\\x03'`;
        const pieces = Array.from(bytes, (byte) => new Uint8Array([byte]));
        await tx.copyFrom(`COPY conformance_item FROM STDIN (${format})`, pieces);
        expectEqual(
          (await tx.query('SELECT body FROM conformance_item ORDER BY id')).rows,
          [['{"a":"é\\n\\"😀"}'], ['plain']],
          'rows',
        );
        expectEqual(
          await collect(tx.copyTo(`COPY (SELECT * FROM conformance_item ORDER BY id) TO STDOUT (${format})`)),
          text,
          'copied text',
        );
        expectEqual(await collect(tx.copyTo(`COPY (SELECT 1 WHERE false) TO STDOUT (${format})`)), '', 'empty COPY');
        expectEqual((await tx.query('SELECT count(*) FROM conformance_item')).rows, [['2']], 'the next query');
      }),
  },
  {
    name: 'COPY in binary format brings texts out as PostgreSQL frames them, for large ones and for none',
    run: (db) =>
      withTable(db, async (tx) => {
        const copy = (select: string) => collectBytes(tx.copyTo(`COPY (${select}) TO STDOUT (FORMAT binary)`));
        const header = `${formatHex(new TextEncoder().encode('PGCOPY\n'))}ff0d0a00${'0'.repeat(16)}`;
        const texts = await copy(`SELECT 'é'||chr(10)||chr(92), NULL::text, ''`);
        expectEqual(formatHex(texts), `${header}000300000004c3a90a5cffffffff00000000ffff`, 'texts');
        expectEqual(formatHex(await copy(`SELECT 'x' WHERE false`)), `${header}ffff`, 'no rows');
        const large = await copy(`SELECT repeat('ab', 200000) FROM generate_series(1, 3)`);
        expectEqual(large.byteLength, header.length / 2 + 3 * (2 + 4 + 400_000) + 2, 'bytes of large texts');
        expectEqual((await tx.query('SELECT 1')).rows, [['1']], 'the next query');
      }),
  },
  {
    name: 'COPY in binary format brings rows in, however they are cut',
    run: (db) =>
      withTable(db, async (tx) => {
        const header = [...new TextEncoder().encode('PGCOPY\n'), 0xff, 0x0d, 0x0a, 0, ...new Uint8Array(8)];
        const text = [...new TextEncoder().encode('é\n\\,"')];
        const startRow = (id: number) => [0, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, id];
        const rows = [...startRow(1), 0, 0, 0, text.length, ...text, ...startRow(2), 255, 255, 255, 255];
        const pieces = [...header, ...rows, 255, 255].map((byte) => new Uint8Array([byte]));
        await tx.copyFrom('COPY conformance_item FROM STDIN (FORMAT binary)', pieces);
        const stored = await tx.query('SELECT id, body FROM conformance_item ORDER BY id');
        expectEqual(
          stored.rows,
          [
            ['1', 'é\n\\,"'],
            ['2', null],
          ],
          'rows',
        );
      }),
  },
  {
    name: 'a fault of the producer of a COPY, and one of PostgreSQL, roll back and are told apart',
    run: async (db) => {
      const mine = new Error('producer');
      async function* failing() {
        yield new TextEncoder().encode('1\ta\n');
        throw mine;
      }
      const own = await catchRejection(
        () => withTable(db, (tx) => tx.copyFrom('COPY conformance_item FROM STDIN', failing())),
        'a failing producer',
      );
      expectTrue(own === mine, 'the error of the producer is passed on as it is');
      await expectFault(
        () => withTable(db, (tx) => tx.copyFrom('COPY conformance_item FROM STDIN', [new TextEncoder().encode('x\ty\n')])),
        '22P02',
      );
      await expectFault(
        () => withTable(db, async (tx) => void (await collect(tx.copyTo('COPY (SELECT 1/0) TO STDOUT')))),
        '22012',
      );
      expectEqual((await db.query('SELECT 1')).rows, [['1']], 'the next query');
    },
  },
  {
    name: 'an aborted signal refuses the transaction, before it begins and while it runs',
    run: async (db) => {
      const reason = new Error('stop');
      const gone = AbortSignal.abort(reason);
      expectTrue(
        (await catchRejection(() => db.transaction({ ...WRITE, signal: gone }, async () => 1), 'aborted before')) === reason,
        'the reason',
      );
      const controller = new AbortController();
      const during = await catchRejection(
        () =>
          db.transaction({ ...WRITE, signal: controller.signal }, async (tx) => {
            await tx.query('SELECT 1');
            controller.abort(reason);
            await tx.query('SELECT 2');
          }),
        'aborted while running',
      );
      expectTrue(during === reason, 'the reason while running');
      expectEqual((await db.query('SELECT 1')).rows, [['1']], 'the next query');
    },
  },
  {
    name: 'transactions of several callers do not mix',
    run: async (db) => {
      const results = await Promise.all(
        Array.from({ length: 5 }, (_, index) =>
          db.transaction({ ...WRITE, settings: `SET LOCAL application_name='caller ${String(index)}'` }, async (tx) => {
            await tx.query('SELECT pg_sleep(0.001)');
            return (await tx.query(`SELECT current_setting('application_name')`)).rows[0]?.[0];
          }),
        ),
      );
      expectEqual(
        results,
        Array.from({ length: 5 }, (_, index) => `caller ${String(index)}`),
        'settings',
      );
    },
  },
];
