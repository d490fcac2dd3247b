import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import type { PgResult, PgValue } from '../ports/postgres.ts';
import { WatchNotifier } from './watch-notifier.ts';

/** The statements of a notifier; each ends when the test says so. */
class Statements {
  readonly sent: string[] = [];
  readonly #running: PromiseWithResolvers<PgResult>[] = [];

  query(_sql: string, [, payloads]: readonly PgValue[] = []): Promise<PgResult> {
    const list = Array.isArray(payloads) ? payloads.map((text) => String(text)) : [];
    this.sent.push(list.map((text) => (/"scope_pk":(\d+),"bundle_seq":(\d+)/.exec(text) ?? []).slice(1).join(':')).join(' '));
    const statement = Promise.withResolvers<PgResult>();
    this.#running.push(statement);
    return statement.promise;
  }

  async end(fault?: Error): Promise<void> {
    const statement = this.#running.shift();
    if (statement === undefined) throw new Error('no statement is on its way');
    if (fault === undefined) statement.resolve({ rows: [], rowCount: 0 });
    else statement.reject(fault);
    await vi.advanceTimersByTimeAsync(0);
  }

  get runningCount(): number {
    return this.#running.length;
  }
}

let statements: Statements;
let warnings: string[];
let notifier: WatchNotifier;
beforeEach(() => {
  vi.useFakeTimers();
  open(20);
});
afterEach(() => vi.useRealTimers());

function open(debounceMs: number): void {
  statements = new Statements();
  warnings = [];
  notifier = new WatchNotifier({
    db: statements,
    channel: 'c',
    debounceMs,
    logger: { warn: (message) => warnings.push(message) },
  });
}

const commit = (scopePk: number, bundleSeq: number): void =>
  notifier.notify({ scopePk: String(scopePk), bundleSeq: BigInt(bundleSeq), sourceId: 's', sourceBundleId: 1n });

test('[P10] a commit of a quiet scope is announced at once, also while another scope rests', async () => {
  commit(1, 5);
  expect(statements.sent).toEqual(['1:5']);
  await statements.end();
  commit(2, 7);
  expect(statements.sent).toEqual(['1:5', '2:7']);
});

test('further commits of a scope are merged, and go out at the end of its debounce time', async () => {
  commit(1, 1);
  await statements.end();
  for (const seq of [2, 4, 3]) commit(1, seq);
  await vi.advanceTimersByTimeAsync(19);
  expect(statements.sent).toEqual(['1:1']);
  await vi.advanceTimersByTimeAsync(1);
  expect(statements.sent).toEqual(['1:1', '1:4']);
  await statements.end();
  commit(1, 5);
  expect(statements.sent).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(20);
  expect(statements.sent).toEqual(['1:1', '1:4', '1:5']);
});

test('one statement is on its way at most; scopes that were quiet share the next one as soon as it ends, without a timer', async () => {
  commit(1, 1);
  for (const [scope, seq] of [
    [2, 1],
    [3, 1],
    [2, 2],
    [1, 2],
  ] as const) {
    commit(scope, seq);
    expect(statements.runningCount).toBe(1);
  }
  await statements.end();
  expect(statements.sent).toEqual(['1:1', '2:2 3:1']);
});

test('a debounce time that ends while a statement is on its way is followed by the next one', async () => {
  commit(1, 1);
  commit(1, 2);
  await vi.advanceTimersByTimeAsync(50);
  expect(statements.sent).toEqual(['1:1']);
  commit(1, 3);
  await statements.end();
  expect(statements.sent).toEqual(['1:1', '1:3']);
});

test('a scope that was silent for its debounce time is quiet again, and nothing is kept about it', async () => {
  commit(1, 1);
  await statements.end();
  await vi.advanceTimersByTimeAsync(20);
  expect(vi.getTimerCount()).toBe(0);
  expect(statements.sent).toEqual(['1:1']);
  commit(1, 2);
  expect(statements.sent).toEqual(['1:1', '1:2']);
});

test('without a debounce time only a statement on its way holds commits back', async () => {
  open(0);
  commit(1, 1);
  commit(1, 2);
  commit(1, 3);
  await statements.end();
  expect(statements.sent).toEqual(['1:1', '1:3']);
  await statements.end();
  expect(vi.getTimerCount()).toBe(0);
});

test('a statement that fails is logged, and later commits are announced', async () => {
  commit(1, 1);
  commit(2, 1);
  await statements.end(new Error('connection lost'));
  expect(warnings).toEqual(['commits were not notified']);
  expect(statements.sent).toEqual(['1:1', '2:1']);
});

test('after it was stopped it announces nothing and leaves no timer, also when its statement ends later', async () => {
  commit(1, 1);
  commit(1, 2);
  commit(2, 1);
  notifier.stop();
  commit(3, 1);
  await statements.end();
  await vi.advanceTimersByTimeAsync(100);
  expect(statements.sent).toEqual(['1:1']);
  expect(vi.getTimerCount()).toBe(0);
});
