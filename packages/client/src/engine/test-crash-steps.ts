import type { SyncClient } from '../client.ts';
import type { CrashWorld } from './test-crash-world.ts';

/** One durable state and what is done in it while the fault strikes. */
export interface CrashScenario {
  readonly name: string;
  /** Brings the file and the server into the state. */
  readonly prepare: (world: CrashWorld) => Promise<void>;
  /** The fault may strike while the client opens and attaches, too; otherwise `run` gets a client that has. */
  readonly fromTheStart?: true;
  /** `run` makes no request. */
  readonly isLocal?: true;
  /** What the application was doing. */
  readonly run: (client: SyncClient, world: CrashWorld) => Promise<unknown>;
  /** What it does next, before everything has to come into step again. */
  readonly goOn?: (client: SyncClient, world: CrashWorld) => Promise<unknown>;
  /** Users that device and server hold in the end, as `id=name`. */
  readonly users: readonly string[];
  /** Users of the server that the device does not share, because they were set aside. */
  readonly quarantined?: readonly string[];
  /** A query of texts, and what the device has to answer in the end. */
  readonly alsoHolds?: { readonly sql: string; readonly texts: readonly string[] };
}

export const user = (id: string, name: string) => ({ table: 'users', id, payload: { id, name } });
export const insert = (...rows: readonly (readonly [string, string])[]) =>
  rows.map(([id, name]) => `INSERT INTO users(id, name) VALUES ('${id}', '${name}');`).join('\n');

export async function withClient(world: CrashWorld, work: (client: SyncClient) => Promise<unknown>): Promise<void> {
  const client = world.open({ faultPoints: (point) => world.pass(point) });
  await client.open();
  await work(client);
  await client.close();
}

/** A device in step with a server that holds a and b. */
export async function inStep(
  world: CrashWorld,
  more: (client: SyncClient) => Promise<unknown> = () => Promise.resolve(),
): Promise<void> {
  world.server.write([
    user('a', 'a'),
    user('b', 'b'),
    { table: 'posts', id: 'p', payload: { id: 'p', user_id: 'b', body: null } },
  ]);
  await withClient(world, async (client) => {
    await client.attach(world.userId);
    await more(client);
  });
}

/** Runs a call that ends in an error, as the state needs it. */
export async function failing(work: Promise<unknown>): Promise<void> {
  await work.then(
    () => {
      throw new Error('the state was not reached');
    },
    () => undefined,
  );
}

export const EDITS = `UPDATE users SET name = 'mine' WHERE id = 'a'; DELETE FROM users WHERE id = 'b';
${insert(['x', 'new'], ['y', 'new'])} INSERT INTO posts(id, user_id, body) VALUES ('q', 'x', 'hello');`;
export const EDITED = ['a=mine', 'x=new', 'y=new'];

/** Brings the outbox into a state, with the edits in it and, with `alsoDirty`, a newer edit beside it. */
type OutboxState = 'none' | 'prepared' | 'committed unknowingly' | 'committed_remote';

export async function withOutbox(world: CrashWorld, client: SyncClient, outbox: OutboxState, alsoDirty: boolean): Promise<void> {
  if (outbox !== 'none') {
    world.sql(insert(['x', 'frozen'], ['y', 'new']));
    if (outbox === 'prepared') world.loseRequest('push_session_commit');
    if (outbox === 'committed unknowingly') world.loseAnswer('push_session_commit');
    if (outbox === 'committed_remote') world.failAt('replay.beforeTransaction');
    await failing(client.pushPending());
  }
  if (alsoDirty) world.sql(outbox === 'none' ? insert(['x', 'new']) : "UPDATE users SET name = 'new' WHERE id = 'x';");
}

export function outboxUsers(outbox: OutboxState, alsoDirty: boolean): readonly string[] {
  const x = alsoDirty ? ['x=new'] : outbox === 'none' ? [] : ['x=frozen'];
  return ['a=a', 'b=b', ...x, ...(outbox === 'none' ? [] : ['y=new'])];
}

const OUTBOXES: readonly OutboxState[] = ['none', 'prepared', 'committed unknowingly', 'committed_remote'];
export const COMBINATIONS = OUTBOXES.flatMap((outbox) => [false, true].map((alsoDirty) => ({ outbox, alsoDirty })));
export const label = (outbox: OutboxState, alsoDirty: boolean): string =>
  `outbox ${outbox}, ${alsoDirty ? 'dirty' : 'nothing dirty'}`;
