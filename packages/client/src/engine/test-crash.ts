import { SqliteFault } from '../ports/sqlite-fault.ts';
import type { SqliteDriver, SqliteTx } from '../ports/sqlite-driver.ts';
import type { HttpTransport } from '../ports/transport.ts';

/** The process is gone: whatever it awaits never succeeds. */
export class Crash extends Error {}

/**
 * What happens at the chosen call: the process dies there and answers nothing any more, or that one call fails and the process lives on.
 */
export type Fate = 'dies' | 'fails';

/** How a request fails that the server has carried out: without an answer, or in the middle of one. `dead`: the process dies around it. */
export type RequestLoss = 'unanswered' | 'cut' | 'dead';

/** One fault at the nth call of a kind, counted from the moment the plan is armed. */
export class FaultPlan {
  /** Set when the fault has happened. */
  hasStruck = false;
  /** The process has ended. */
  isDead = false;
  /** What had been committed to the file and sent to the server when each call was made. Equal texts: equal worlds. */
  readonly marks: string[] = [];
  commits = 0;
  requests = 0;
  readonly #fate: Fate;
  readonly #at: number;
  readonly #onDeath: () => void;
  #isArmed = false;
  #count = 0;

  constructor(fate: Fate, at: number, onDeath: () => void) {
    this.#fate = fate;
    this.#at = at;
    this.#onDeath = onDeath;
  }

  arm(): void {
    this.#isArmed = true;
  }

  /** True when the fault belongs to this call. Throws `Crash` once the process has died. */
  strikes(): boolean {
    if (this.isDead) throw new Crash();
    if (!this.#isArmed) return false;
    this.marks.push(`${this.commits} ${this.requests}`);
    this.#count += 1;
    if (this.#count !== this.#at) return false;
    this.hasStruck = true;
    return true;
  }

  /** Carries the fault out. */
  strike(failure: () => Error): never {
    if (this.#fate === 'fails') throw failure();
    this.isDead = true;
    this.#onDeath();
    throw new Crash();
  }
}

const DISK_FULL = 13;

/**
 * A driver whose nth call meets the fault. Calls are the statements, BEGIN, COMMIT before it takes effect, and, where the process dies,
 * COMMIT after it has taken effect.
 */
export function faultyDriver(inner: SqliteDriver, plan: FaultPlan, fate: Fate): SqliteDriver {
  const meet = (): void => {
    if (plan.strikes()) plan.strike(() => new SqliteFault('full', DISK_FULL));
  };
  const committed = (): void => {
    plan.commits += 1;
    if (fate === 'dies') meet();
  };
  return watchedDriver(inner, meet, committed);
}

/** A driver that calls `meet` before each statement, BEGIN and COMMIT, and `committed` after what may have changed the file. */
export function watchedDriver(inner: SqliteDriver, meet: () => void, committed: () => void = () => undefined): SqliteDriver {
  return {
    ...faultyCalls(inner, meet, committed),
    databaseId: () => inner.databaseId(),
    ...(inner.platform === undefined ? {} : { platform: inner.platform }),
    transaction: async (mode, fn) => {
      meet();
      const result = await inner.transaction(mode, async (tx) => {
        const value = await fn(faultyCalls(tx, meet, () => undefined));
        meet();
        return value;
      });
      committed();
      return result;
    },
  };
}

/** `written` is called after every call that may have changed something. */
function faultyCalls(inner: SqliteTx, meet: () => void, written: () => void): SqliteTx {
  const call = async <T>(work: () => Promise<T>, isWrite: boolean): Promise<T> => {
    meet();
    const result = await work();
    if (isWrite) written();
    return result;
  };
  return {
    exec: (sql) => call(() => inner.exec(sql), true),
    run: (sql, params) => call(() => inner.run(sql, params), true),
    all: (sql, params) => call(() => inner.all(sql, params), false),
    runMany: (sql, rows) =>
      call(() => inner.runMany?.(sql, rows) ?? Promise.reject(new Error('the driver has no runMany')), true),
  };
}

/**
 * A transport whose nth call meets the fault. A call is a request that does not arrive, and, where the process dies, an answer that
 * nobody receives any more.
 */
export function faultyTransport(inner: HttpTransport, plan: FaultPlan, loss: RequestLoss): HttpTransport {
  const broken = (): Error => new TypeError('connection reset');
  return async (request) => {
    const isLost = loss !== 'dead' && plan.strikes();
    if (loss === 'dead' && plan.strikes()) plan.strike(broken);
    const answer = await inner(request);
    plan.requests += 1;
    if (isLost && loss === 'cut') return cutAnswer(answer, plan, broken);
    if (isLost || (loss === 'dead' && plan.strikes())) return plan.strike(broken);
    return answer;
  };
}

/** The first half of a body, then the fault. */
async function cutAnswer(answer: Response, plan: FaultPlan, failure: () => Error): Promise<Response> {
  const bytes = new Uint8Array(await answer.arrayBuffer());
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(bytes.subarray(0, Math.floor(bytes.length / 2))),
    pull: () => plan.strike(failure),
  });
  return new Response(answer.status === 204 ? null : body, { status: answer.status, headers: answer.headers });
}
