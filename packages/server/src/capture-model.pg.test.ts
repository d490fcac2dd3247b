import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { EVENT_IDS, MODEL_DDL, MODEL_TABLE_NAMES, STEP_KINDS } from './test-capture-model.ts';
import type { ModelStep } from './test-capture-model.ts';
import { ModelRun } from './test-capture-run.ts';
import type { ModelTransaction } from './test-capture-run.ts';
import { newScope, openTestServer } from './test-server.ts';
import type { TestServer } from './test-server.ts';
import { isOldestServer } from './test-server-version.ts';

const WRITER = { writerId: 'model' };

const number = fc.nat({ max: 11 });
const step: fc.Arbitrary<ModelStep> = fc.record({ kind: fc.constantFrom(...STEP_KINDS), a: number, b: number, c: number });
/** 20 to 60 statements, cut into transactions of one to twelve. */
const history = fc.tuple(
  fc.array(step, { minLength: 20, maxLength: 60 }),
  fc.infiniteStream(
    fc.record({ length: fc.integer({ min: 1, max: 12 }), isUndone: fc.integer({ min: 0, max: 9 }).map((value) => value === 0) }),
  ),
);

function cutIntoTransactions([steps, cuts]: [ModelStep[], Iterable<{ length: number; isUndone: boolean }>]): ModelTransaction[] {
  const transactions: ModelTransaction[] = [];
  let from = 0;
  for (const { length, isUndone } of cuts) {
    if (from >= steps.length) break;
    transactions.push({ steps: steps.slice(from, from + length), isUndone });
    from += length;
  }
  return transactions;
}

// The model has a reference with ON DELETE SET NULL (column).
describe.skipIf(isOldestServer)('capture', () => {
  let target: TestServer;
  let partitionOf: ReadonlyMap<string, '0' | '1'>;
  beforeAll(async () => {
    target = await openTestServer({
      ddl: MODEL_DDL,
      registeredTables: MODEL_TABLE_NAMES.map((table) => ({ schema: 'business', table, syncKeyColumn: 'id' })),
      compression: { enabled: false },
    });
    const { rows } = await target.query(
      `SELECT id, satisfies_hash_partition('business.events'::regclass, 2, 0, id) FROM unnest($1::text[]) id`,
      [EVENT_IDS],
    );
    partitionOf = new Map(rows.map(([id, isFirst]) => [id ?? '', isFirst === 't' ? '0' : '1']));
  });
  afterAll(() => target.close());

  it('[C3] [C5] folds any history of statements, cascades, nested and deferred triggers into what each key was and is', async () => {
    expect(new Set(partitionOf.values()).size).toBe(2);
    await fc.assert(
      fc.asyncProperty(history.map(cutIntoTransactions), async (transactions) => {
        const run = new ModelRun(target, { scopeId: newScope(), partitionOf });
        for (const transaction of transactions) await run.run(transaction);
        await run.checkEnd();
      }),
      { numRuns: Number(process.env['CAPTURE_RUNS'] ?? 12), seed: 20_261_124, endOnFailure: true },
    );
  });

  it('[I11] [C5] does the same for histories that nobody has chosen', async () => {
    const seed = Math.trunc(Math.random() * 0x7fffffff);
    await fc.assert(
      fc.asyncProperty(history.map(cutIntoTransactions), async (transactions) => {
        const run = new ModelRun(target, { scopeId: newScope(), partitionOf });
        for (const transaction of transactions) await run.run(transaction);
        await run.checkEnd();
      }),
      { numRuns: 4, seed, endOnFailure: true },
    );
  });

  it('[C7] refuses TRUNCATE and the replica role inside a write', async () => {
    for (const sql of [
      'TRUNCATE business.journal',
      `SELECT set_config('session_replication_role', 'replica', true); INSERT INTO business.journal (id, body) VALUES ('x', 'y')`,
    ]) {
      await expect(target.server.scopes.execWrite(newScope(), WRITER, (tx) => tx.script(sql))).rejects.toMatchObject({
        code: 'push_commit_invalid',
        details: { violation: { kind: 'rejected_by_trigger', table: 'journal' } },
      });
    }
  });
});
