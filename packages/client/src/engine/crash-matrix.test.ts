import { isSyncError } from '@oversync/protocol';
import { describe, expect, it } from 'vitest';

import type { SyncClient } from '../client.ts';
import { FAULT_STEPS } from '../ports/fault-points.ts';
import type { FaultPoint } from '../ports/fault-points.ts';
import { SqliteFault } from '../ports/sqlite-fault.ts';
import { FaultPlan, faultyDriver, faultyTransport, watchedDriver } from './test-crash.ts';
import type { Fate, RequestLoss } from './test-crash.ts';
import { CRASH_SCENARIOS } from './test-crash-scenarios.ts';
import type { CrashScenario } from './test-crash-steps.ts';
import { CrashWorld, settle } from './test-crash-world.ts';
import type { TestServer } from './test-server.ts';
import type { ClientChange, SavedWorld } from './test-crash-world.ts';

/** What makes a client meet the fault of a plan. */
type FaultKind = (plan: FaultPlan) => ClientChange;

/** SQLite's code for a disk that fails. */
const IO_ERROR = 10;

const NEVER = Number.POSITIVE_INFINITY;

/** Leaves the scenario at the nth call and comes back into step. */
async function surviveAt(scenario: CrashScenario, saved: SavedWorld, fate: Fate, kind: FaultKind, at: number): Promise<void> {
  const world = CrashWorld.from(saved);
  try {
    const plan = new FaultPlan(fate, at, () => world.die());
    const { client, failure } = await runUntilFault(scenario, world, plan, kind);
    expect(plan.hasStruck).toBe(true);
    if (fate === 'fails') expect(failure === null || isSyncError(failure), String(failure)).toBe(true);
    await goOn(scenario, world, fate === 'fails' ? client : await nextProcess(world, client));
    checkEnd(scenario, world);
  } finally {
    world.close();
  }
}

/** What had been committed and sent before each call of a run that meets no fault. */
async function marksOf(scenario: CrashScenario, saved: SavedWorld, fate: Fate, kind: FaultKind): Promise<readonly string[]> {
  const world = CrashWorld.from(saved);
  try {
    const plan = new FaultPlan(fate, NEVER, () => undefined);
    const { client, failure } = await runUntilFault(scenario, world, plan, kind);
    expect(failure).toBeNull();
    await client.close();
    return plan.marks;
  } finally {
    world.close();
  }
}

async function runUntilFault(
  scenario: CrashScenario,
  world: CrashWorld,
  plan: FaultPlan,
  kind: FaultKind,
): Promise<{ readonly client: SyncClient; readonly failure: unknown }> {
  const client = world.open(kind(plan));
  if (scenario.fromTheStart !== true) {
    await client.open();
    await client.attach(world.userId);
  }
  plan.arm();
  try {
    await scenario.run(client, world);
    return { client, failure: null };
  } catch (failure) {
    return { client, failure };
  }
}

/** Methods whose last parameter takes a signal, and its position. */
const SIGNALLED: ReadonlyMap<string | symbol, number> = new Map([
  ...[
    'open',
    'pushPending',
    'pullToStable',
    'sync',
    'rebuild',
    'verify',
    'repair',
    'detach',
    'syncThenDetach',
    'uninstallSync',
  ].map((name) => [name, 0] as const),
  ['attach', 1],
]);

/** The client of an application that passes one signal to every call. */
function withSignal(client: SyncClient, signal: AbortSignal): SyncClient {
  return new Proxy(client, {
    get: (target, name): unknown => {
      const member: unknown = Reflect.get(target, name);
      const position = SIGNALLED.get(name);
      if (typeof member !== 'function' || position === undefined) return member;
      return (...given: unknown[]): unknown => {
        const options = { ...Object(given[position]), signal };
        return Reflect.apply(member, target, position === 0 ? [options] : [given[0], options]);
      };
    },
  });
}

/** How an application leaves a call in its middle. */
type GivingUp = 'aborts' | 'closes';

/** The application gives up at the nth call of driver or transport. Returns how many there were until the end. */
async function giveUpAt(scenario: CrashScenario, saved: SavedWorld, how: GivingUp, at: number): Promise<number> {
  const world = CrashWorld.from(saved);
  try {
    const controller = new AbortController();
    const closed: Promise<void>[] = [];
    let calls = 0;
    let isArmed = false;
    const meet = (): void => {
      if (!isArmed) return;
      calls += 1;
      if (calls !== at) return;
      if (how === 'aborts') controller.abort();
      else closed.push(client.close());
    };
    const client = world.open({
      driver: (inner) => watchedDriver(inner, meet),
      http: (inner) => (request) => {
        meet();
        return inner(request);
      },
    });
    if (scenario.fromTheStart !== true) {
      await client.open();
      await client.attach(world.userId);
    }
    isArmed = true;
    const failure: unknown = await scenario.run(withSignal(client, controller.signal), world).then(
      () => null,
      (error: unknown) => error,
    );
    if (at === NEVER) expect(failure).toBeNull();
    else expect(failure === null || isSyncError(failure), String(failure)).toBe(true);
    const total = calls;
    await Promise.all(closed);
    await goOn(scenario, world, how === 'aborts' && failure !== null ? client : await nextProcess(world, client));
    checkEnd(scenario, world);
    return total;
  } finally {
    world.close();
  }
}

async function nextProcess(world: CrashWorld, dead: { close(): Promise<void> }): Promise<SyncClient> {
  await dead.close().catch(() => undefined);
  world.reopenFile();
  checkFile(world);
  return world.open();
}

async function goOn(scenario: CrashScenario, world: CrashWorld, client: SyncClient): Promise<void> {
  await scenario.goOn?.(client, world);
  await settle(world, client);
  world.sql("INSERT INTO users(id, name) VALUES ('zz', 'written afterwards')");
  await client.sync();
  await client.close();
}

/** client.md 3.2: what holds in every file that a dead process leaves. */
function checkFile(world: CrashWorld): void {
  expect(world.list('PRAGMA integrity_check')).toEqual(['ok']);
  expect(world.list('PRAGMA foreign_key_check')).toEqual([]);
  if (world.list("SELECT name FROM sqlite_master WHERE name = '_sync_outbox_bundle'").length === 0) return;
  expect(world.list('SELECT apply_mode FROM _sync_apply_state')).toEqual(['0']);
  const outbox = `SELECT (state = 'none') || ':' || row_count || ':' || (SELECT count(*) FROM _sync_outbox_rows) FROM _sync_outbox_bundle`;
  const [isNone, frozen, rows] = world.list(outbox)[0]?.split(':') ?? [];
  expect(rows).toBe(frozen);
  expect(isNone === '1').toBe(rows === '0');
}

function checkEnd(scenario: CrashScenario, world: CrashWorld): void {
  checkFile(world);
  const users = [...scenario.users, 'zz=written afterwards'];
  expect(world.list("SELECT id || '=' || name FROM users ORDER BY id")).toEqual(users);
  expect(usersOf(world.server)).toEqual(users);
  for (const table of ['users', 'posts']) expect(world.rowsOf(table)).toEqual(serverRowsOf(world, table));
  for (const table of ['_sync_dirty_rows', '_sync_outbox_rows', '_sync_snapshot_stage', '_oversync_quarantine'])
    expect([table, ...world.list(`SELECT count(*) FROM ${table}`)]).toEqual([table, '0']);
  if (scenario.alsoHolds !== undefined) expect(world.list(scenario.alsoHolds.sql)).toEqual(scenario.alsoHolds.texts);
}

/** Rows of the server as the device should have them: without columns that it does not know. */
function serverRowsOf(world: CrashWorld, table: string): Readonly<Record<string, unknown>> {
  const columns = world.list(`SELECT name FROM pragma_table_info('${table}')`);
  const rows = Object.entries(world.server.rowsOf(table));
  return Object.fromEntries(rows.map(([key, row]) => [key, Object.fromEntries(columns.map((name) => [name, row[name]]))]));
}

function usersOf(server: TestServer): readonly string[] {
  const rows = Object.values(server.rowsOf('users'));
  return rows
    .map(({ id, name }) => (typeof id === 'string' && typeof name === 'string' ? `${id}=${name}` : 'no text'))
    .toSorted();
}

async function prepared(scenario: CrashScenario): Promise<SavedWorld> {
  const world = new CrashWorld();
  await scenario.prepare(world);
  return world.save();
}

/** `OVERSYNC_CRASH_MATRIX=whole` lets every single statement fail; it takes minutes. */
const isWhole = process.env['OVERSYNC_CRASH_MATRIX'] === 'whole';

/** Of the statements that fail between two commits, the first and every so many are tried. */
const FAILURES_EVERY = isWhole ? 1 : 9;

/** The application gives up at the first call and at every so many. */
const GIVING_UP_EVERY = isWhole ? 1 : 29;

/**
 * The calls that are worth a run of their own. A process that dies leaves nothing but its file and the server, so of the calls that find
 * the same file and the same server one stands for all; a call that fails in a process that lives on is another one each time.
 */
function tellingCalls(marks: readonly string[], fate: Fate): readonly number[] {
  return marks.flatMap((mark, index) => {
    const isFirst = marks.indexOf(mark) === index;
    const isTelling = fate === 'dies' ? isFirst : isFirst || index % FAILURES_EVERY === 0;
    return isTelling ? [index + 1] : [];
  });
}

/** Every telling call in turn. Returns the number of calls. */
async function surviveEverywhere(scenario: CrashScenario, fate: Fate, kind: FaultKind): Promise<number> {
  const saved = await prepared(scenario);
  const marks = await marksOf(scenario, saved, fate, kind);
  for (const at of tellingCalls(marks, fate)) {
    try {
      await surviveAt(scenario, saved, fate, kind, at);
    } catch (cause) {
      throw new Error(`call ${at}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
  }
  return marks.length;
}

describe.each(CRASH_SCENARIOS)('[T40] [I14] $name', (scenario) => {
  it('goes on when the process dies before, in or after any statement, commit or request', async () => {
    const count = await surviveEverywhere(scenario, 'dies', (plan) => ({
      driver: (inner) => faultyDriver(inner, plan, 'dies'),
      http: (inner) => faultyTransport(inner, plan, 'dead'),
    }));
    expect(count).toBeGreaterThan(5);
  });

  it('goes on when any statement fails', async () => {
    const count = await surviveEverywhere(scenario, 'fails', (plan) => ({
      driver: (inner) => faultyDriver(inner, plan, 'fails'),
    }));
    expect(count).toBeGreaterThan(5);
  });

  it.each<RequestLoss>(['unanswered', 'cut'])('goes on when any request fails, %s', async (loss) => {
    const count = await surviveEverywhere(scenario, 'fails', (plan) => ({
      http: (inner) => faultyTransport(inner, plan, loss),
    }));
    expect(count).toBeGreaterThanOrEqual(scenario.isLocal === true ? 0 : 1);
  });

  it('goes on when the application aborts a call, or closes the client, at any moment of it', async () => {
    const saved = await prepared(scenario);
    const total = await giveUpAt(scenario, saved, 'aborts', NEVER);
    expect(total).toBeGreaterThan(5);
    for (let at = 1; at <= total; at += GIVING_UP_EVERY) {
      for (const how of ['aborts', 'closes'] as const) {
        await giveUpAt(scenario, saved, how, at).catch((cause: unknown) => {
          throw new Error(`${how} at ${at}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
        });
      }
    }
  });

  it('[T40] goes on when any fault point throws', async () => {
    await surviveEverywhere(scenario, 'fails', (plan) => ({ faultPoints: (point) => meetAt(plan, point) }));
    expect(reached.size).toBeGreaterThan(0);
  });
});

/** Fault points that a scenario has come to. */
const reached = new Set<FaultPoint>();

function meetAt(plan: FaultPlan, point: FaultPoint): void {
  reached.add(point);
  if (plan.strikes()) plan.strike(() => new SqliteFault('io', IO_ERROR));
}

describe('fault points', () => {
  it('[T40] every one is come to by a scenario', () => {
    const moments = ['beforeTransaction', 'beforeCommit', 'afterCommit'];
    const steps = FAULT_STEPS.flatMap((step) => moments.map((moment) => `${step}.${moment}`));
    const all = new Set([...steps, 'push.beforeCommit', 'push.afterCommit', 'apply.afterPage']);
    expect([...reached].toSorted()).toEqual([...all].toSorted());
  });

  it('[T40] may wait, and run SQL in the transaction that is open', async () => {
    const world = new CrashWorld();
    try {
      const seen: unknown[] = [];
      const client = world.open({
        faultPoints: async (point, sql) => {
          await Promise.resolve();
          if (point === 'freeze.beforeCommit') seen.push(...(await sql.all('SELECT count(*) FROM _sync_outbox_rows')));
          if (point === 'push.beforeCommit') await sql.run("UPDATE users SET name = 'meanwhile' WHERE id = 'a'");
        },
      });
      await client.open();
      await client.attach(world.userId);
      world.sql("INSERT INTO users VALUES ('a', 'first')");
      await client.pushPending();
      expect(seen).toEqual([[1n]]);
      expect(world.list('SELECT op FROM _sync_dirty_rows')).toEqual(['UPDATE']);
      await client.sync();
      expect(usersOf(world.server)).toEqual(['a=meanwhile']);
      await client.close();
    } finally {
      world.close();
    }
  });
});
