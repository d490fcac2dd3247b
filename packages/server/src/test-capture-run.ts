/** Plays generated transactions on a server and on the model, and compares everything that anybody can see. */
import { deepStrictEqual as deepEqual, rejects, strictEqual as equal } from 'node:assert';

import type { WriteTransaction } from './engine/write-transaction.ts';
import { CaptureModel, MODEL_TABLE_NAMES, modelKey, playStep } from './test-capture-model.ts';
import type { ModelRow, ModelStatement, ModelStep, ModelTable, ModelWorld } from './test-capture-model.ts';
import type { TestServer } from './test-server.ts';

const WRITER = { writerId: 'model' };
const UNDO = new Error('the callback changed its mind');

/** Statements of one transaction, and how it ends. */
export interface ModelTransaction {
  readonly steps: readonly ModelStep[];
  readonly isUndone: boolean;
}

interface BundleRow {
  readonly table: ModelTable;
  readonly key: { readonly id: string };
  readonly op: string;
  readonly row_version: number;
  readonly payload?: ModelRow;
}

/** One scope and what the model says it holds. */
export class ModelRun {
  readonly #target: TestServer;
  readonly #world: ModelWorld;
  #rows = new Map<string, ModelRow>();
  /** Version and liveness of every key that a bundle has named. */
  readonly #versions = new Map<string, string>();
  #head = 0;

  constructor(target: TestServer, world: ModelWorld) {
    this.#target = target;
    this.#world = world;
  }

  async run(transaction: ModelTransaction): Promise<void> {
    const model = new CaptureModel(this.#rows);
    const firstTouch = new Map<string, number>();
    const statements = transaction.steps.flatMap((one, position) => {
      const statement = playStep(model, one, this.#world);
      noteTouches(firstTouch, model, position);
      return statement ?? [];
    });
    model.settle();
    noteTouches(firstTouch, model, transaction.steps.length);
    const expected = this.#foldTouched(model);
    const write = this.#target.server.scopes.execWrite(this.#world.scopeId, WRITER, async (tx) => {
      for (const statement of statements) await send(tx, statement);
      if (transaction.isUndone) throw UNDO;
    });
    if (transaction.isUndone) await rejects(write, (error) => error === UNDO);
    else if (expected.size === 0) await rejects(write, { code: 'no_captured_changes' });
    else {
      const touchOrder = await this.#accept(model, expected, Number((await write).bundle.bundleSeq));
      checkOrder(touchOrder, firstTouch);
    }
    await this.#checkTables();
  }

  /** `op` and payload of every key that the bundle must name. */
  #foldTouched(model: CaptureModel): Map<string, string> {
    const expected = new Map<string, string>();
    for (const key of model.touched) {
      const [before, after] = [this.#rows.has(key), model.rows.get(key)];
      if (after === undefined && !before) continue;
      const op = after === undefined ? 'DELETE' : before ? 'UPDATE' : 'INSERT';
      expected.set(key, formatRow(op, key, after));
    }
    return expected;
  }

  /** Returns the keys in the order of the bundle. */
  async #accept(model: CaptureModel, expected: ReadonlyMap<string, string>, bundleSeq: number): Promise<readonly string[]> {
    equal(bundleSeq, this.#head + 1);
    const answer = await this.#target.call('GET', `/sync/pull?after_bundle_seq=${String(this.#head)}`, {
      scope: this.#world.scopeId,
    });
    const rows = (answer.json.bundles[0]?.rows ?? []) as unknown as readonly BundleRow[];
    const found = rows.map(
      ({ table, key, op, payload }) => [modelKey(table, key.id), formatRow(op, modelKey(table, key.id), payload)] as const,
    );
    deepEqual(new Map(found), expected);
    equal(found.length, expected.size);
    equal(
      rows.every((row) => row.row_version === bundleSeq),
      true,
    );
    for (const [key, row] of expected) this.#versions.set(key, `${String(bundleSeq)} ${String(row.startsWith('DELETE'))}`);
    this.#head = bundleSeq;
    this.#rows = model.rows;
    return found.map(([key]) => key);
  }

  async #checkTables(): Promise<void> {
    const live = await Promise.all(
      MODEL_TABLE_NAMES.map(async (table) => {
        const sql = `SELECT id, (SELECT jsonb_object_agg(c.key, c.value) FROM jsonb_each_text(to_jsonb(t) - '_sync_scope_id' - 'id') c) FROM business.${table} t WHERE _sync_scope_id = $1`;
        const { rows } = await this.#target.query(sql, [this.#world.scopeId]);
        return rows.map(([id, row]) => [modelKey(table, id ?? ''), toTexts(JSON.parse(row ?? '{}'))] as const);
      }),
    );
    deepEqual(new Map(live.flat()), this.#rows);
    const { rows } = await this.#target.query(
      `SELECT t.table_name || ' ' || convert_from(r.key_bytes, 'UTF8'), r.version || ' ' || r.deleted
       FROM sync.row_state r JOIN sync.scope s USING (scope_pk) JOIN sync.registered_table t USING (table_id) WHERE s.scope_id = $1`,
      [this.#world.scopeId],
    );
    deepEqual(new Map(rows.map(([key, state]) => [key, state])), this.#versions);
  }

  async checkEnd(): Promise<void> {
    equal((await this.#target.server.admin.checkScope(this.#world.scopeId)).isConsistent, true);
    deepEqual((await this.#target.query('SELECT count(*) FROM sync.capture')).rows, [['0']]);
    if (this.#head === 0) return;
    const { json } = await this.#target.call('POST', '/sync/snapshot-sessions', { scope: this.#world.scopeId, body: {} });
    equal(json.row_count, this.#rows.size);
  }
}

/** In which statement a key was touched first; deferred triggers come after the last one. */
function noteTouches(firstTouch: Map<string, number>, model: CaptureModel, position: number): void {
  for (const key of model.touched) if (!firstTouch.has(key)) firstTouch.set(key, position);
}

/** What was touched earlier comes earlier. */
function checkOrder(keys: readonly string[], firstTouch: ReadonlyMap<string, number>): void {
  const positions = keys.map((key) => firstTouch.get(key) ?? -1);
  deepEqual(
    positions,
    [...positions].sort((left, right) => left - right),
  );
}

async function send(tx: WriteTransaction, statement: ModelStatement): Promise<void> {
  if ('sql' in statement) await tx.query(statement.sql);
  else await tx.copyFrom(`COPY ${statement.into} FROM STDIN`, [new TextEncoder().encode(statement.copy)]);
}

function formatRow(op: string, key: string, row: ModelRow | undefined): string {
  const id = key.slice(key.indexOf(' ') + 1);
  return `${op} ${row === undefined ? '' : JSON.stringify(Object.entries({ ...row, id }).sort(([left], [right]) => (left < right ? -1 : 1)))}`;
}

function toTexts(row: unknown): ModelRow {
  if (typeof row !== 'object' || row === null) throw new TypeError('a row is an object');
  return Object.fromEntries(
    Object.entries(row).map(([name, value]: [string, unknown]) => {
      if (value !== null && typeof value !== 'string') throw new TypeError('the statement makes texts of all values');
      return [name, value];
    }),
  );
}
