import * as fc from 'fast-check';
import { expect, test } from 'vitest';

import { checkIncomingRows, keyJsonOf } from '../rules/check-incoming.ts';
import type { IncomingRow } from '../rules/incoming-row.ts';
import { clientWins } from '../rules/resolvers.ts';
import { applyBundles } from './apply-bundles.ts';
import { loadClientState } from './client-state.ts';
import { resolveConflicts, resolveContested } from './conflicts.ts';
import { countContested, countPending } from './counts.ts';
import { freezeOutbox } from './freeze.ts';
import { loadOutboxChunk, storeCommittedRemote, unfreezeOutbox, verifyOutbox } from './outbox.ts';
import { replayCommittedBundle } from './replay.ts';
import { applySnapshot } from './snapshot-apply.ts';
import { clearSnapshotStage, stageSnapshotChunk } from './snapshot-stage.ts';
import type { ServerConflict } from './store-types.ts';
import { APPLY, FREEZE, dirty, openAttached, query } from './test-local.ts';
import type { Local } from './test-local.ts';

/*
 * Random histories of one device and a model of the server: local writes at any moment, writes of peers, pulls, pushes that conflict, are
 * interrupted or whose rows the server changes, and rebuilds. Safety: the local table shows each unsent local write until it was decided.
 * Liveness: afterwards device and server agree, and with `clientWins` the last local write of every key has reached the server.
 */

const DDL = 'CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, v TEXT)';
const KEYS = ['a', 'b', 'c', 'd'];

interface Upload {
  readonly key: { readonly id: string };
  readonly op: 'INSERT' | 'UPDATE' | 'DELETE';
  readonly base_row_version: number;
  readonly payload?: { readonly v: string | null };
}

interface Stored {
  readonly version: bigint;
  readonly value: string | null;
  readonly isDeleted: boolean;
}

/** The server of protocol.md 10, for one table without constraints. */
class Server {
  seq = 0n;
  readonly rows = new Map<string, Stored>();
  readonly bundles: { readonly seq: bigint; readonly rows: readonly IncomingRow[] }[] = [];
  /** Every value, and `deleted`, that a key ever had. */
  readonly history = new Map<string, Set<string>>();

  write(changes: readonly (readonly [string, string | null | undefined])[]): bigint {
    this.seq += 1n;
    for (const [key, value] of changes) {
      this.rows.set(key, { version: this.seq, value: value ?? null, isDeleted: value === undefined });
      const seen = this.history.get(key) ?? new Set();
      this.history.set(key, seen.add(value === undefined ? 'deleted' : String(value)));
    }
    this.bundles.push({ seq: this.seq, rows: changes.map(([key, value]) => wireRow(key, this.seq, value)) });
    return this.seq;
  }

  conflictsOf(upload: Upload): ServerConflict[] {
    const stored = this.rows.get(upload.key.id);
    const base = BigInt(upload.base_row_version);
    const isAccepted =
      upload.op === 'INSERT'
        ? (stored === undefined && base === 0n) || (stored?.isDeleted === true && stored.version === base && base > 0n)
        : stored !== undefined && !stored.isDeleted && stored.version === base;
    if (isAccepted) return [];
    return [
      {
        table: 't',
        keyJson: JSON.stringify(upload.key),
        op: upload.op,
        baseRowVersion: base,
        serverRowVersion: stored?.version ?? 0n,
        serverRowDeleted: stored?.isDeleted ?? false,
        serverPayload: stored === undefined || stored.isDeleted ? null : JSON.stringify({ id: upload.key.id, v: stored.value }),
      },
    ];
  }

  live(): { id: string; v: string | null }[] {
    return [...this.rows]
      .filter(([, row]) => !row.isDeleted)
      .map(([id, row]) => ({ id, v: row.value }))
      .sort((a, b) => (a.id < b.id ? -1 : 1));
  }
}

function wireRow(key: string, version: bigint, value: string | null | undefined): IncomingRow {
  const identity = { schema: 'main', table: 't', keyColumn: 'id', keyValue: key, rowVersion: version };
  if (value === undefined) return { ...identity, op: 'DELETE', payload: null };
  return { ...identity, op: 'UPDATE', payload: JSON.stringify({ id: key, v: value }) };
}

class World {
  readonly local: Local;
  readonly server = new Server();
  /** The last local write of each key; `undefined` = deleted. */
  readonly wrote = new Map<string, string | undefined>();
  #count = 0;

  constructor(local: Local) {
    this.local = local;
  }

  localWrite(key: string, isDelete: boolean): void {
    this.#count += 1;
    const value = `local ${this.#count}`;
    const { database } = this.local.driver;
    if (isDelete) {
      const { changes } = database.prepare('DELETE FROM t WHERE id = ?').run(key);
      if (Number(changes) > 0) this.wrote.set(key, undefined);
      return;
    }
    database.prepare('INSERT INTO t VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET v = excluded.v').run(key, value);
    this.wrote.set(key, value);
  }

  peerWrite(key: string, isDelete: boolean): void {
    this.#count += 1;
    const stored = this.server.rows.get(key);
    if (isDelete && (stored === undefined || stored.isDeleted)) return;
    this.server.write([[key, isDelete ? undefined : `peer ${this.#count}`]]);
  }

  async pull(upTo = this.server.seq): Promise<void> {
    const { lifecycle } = await loadClientState(this.local.driver);
    const after = 'lastBundleSeqSeen' in lifecycle ? lifecycle.lastBundleSeqSeen : 0n;
    const bundles = this.server.bundles
      .filter((bundle) => bundle.seq > after && bundle.seq <= upTo)
      .map((bundle) => ({ bundleSeq: bundle.seq, rows: checkIncomingRows(this.local.schema, bundle.rows) }));
    const result = await applyBundles(this.local.driver, this.local.schema, bundles, APPLY);
    if (result.stopped !== null) throw new Error(`a pull stopped: ${result.stopped.reason}`);
  }

  /** One push. `between` runs after the freeze, `inside` between commit and replay. */
  async push(between: () => Promise<void> | void, inside: () => Promise<void> | void, changesRows: boolean): Promise<void> {
    const { driver, schema } = this.local;
    const state = await loadClientState(driver);
    if (state.outbox.state !== 'none') await driver.transaction('immediate', (tx) => unfreezeOutbox(tx));
    await resolveContested(driver, schema, { ...APPLY, resolverFor: () => clientWins, origin: 'pull', attemptOf: () => 1 });
    const { outbox } = await freezeOutbox(driver, schema, { ...FREEZE, rowsMax: 3 });
    await verifyOutbox(driver, schema);
    await between();
    if (outbox.state !== 'prepared') return;
    const { rowsText } = await loadOutboxChunk(driver, 0, { rowsMax: 100, bytesMax: 100_000 });
    const uploads = JSON.parse(`[${rowsText}]`) as Upload[];
    const conflicts = uploads.flatMap((upload) => this.server.conflictsOf(upload));
    if (conflicts.length > 0) {
      await resolveConflicts(driver, schema, conflicts, {
        ...APPLY,
        resolverFor: () => clientWins,
        origin: 'push',
        attemptOf: () => 1,
      });
      return;
    }
    const bundleSeq = this.server.write(
      uploads.map((upload) => [upload.key.id, upload.op === 'DELETE' ? undefined : upload.payload?.v]),
    );
    const committed = await storeCommittedRemote(driver, outbox, { bundleSeq, bundleHash: 'h' });
    await inside();
    const rows = this.server.bundles.find((bundle) => bundle.seq === bundleSeq)?.rows ?? [];
    const order = changesRows ? [...rows].reverse() : rows;
    await replayCommittedBundle(driver, schema, {
      ...APPLY,
      outbox: committed,
      bundle: { rows: checkIncomingRows(schema, order) },
    });
  }

  async rebuild(meanwhile: () => void): Promise<void> {
    const { driver, schema } = this.local;
    const pinned = await loadClientState(driver);
    const rows = this.server.live().map(({ id, v }) => wireRow(id, this.server.rows.get(id)?.version ?? 0n, v));
    const bundleSeq = this.server.seq;
    await driver.transaction('immediate', async (tx) => {
      await clearSnapshotStage(tx);
      await stageSnapshotChunk(tx, 's', 0n, checkIncomingRows(schema, rows));
    });
    meanwhile();
    const session = { snapshotId: 's', bundleSeq, rowCount: BigInt(rows.length), byteCount: 0n, isComplete: true };
    await applySnapshot(driver, schema, {
      ...APPLY,
      pinned,
      session,
      target: { userId: 'user-1', sourceId: pinned.lifecycle.sourceId },
    });
  }

  /** Unsent local writes that the application does not see, or that are not its last write of the key. There must be none. */
  lostWrites(): unknown[] {
    const shown = new Map(query(this.local, 'SELECT id, v FROM t').map((row) => [String(row['id']), String(row['v'])]));
    return dirty(this.local).filter(([, keyJson, , , payload]) => {
      const key = KEYS.find((name) => keyJson === keyJsonOf(this.table(), name)) ?? '';
      const intent = payload === null ? undefined : (JSON.parse(String(payload)) as { v: string }).v;
      return shown.get(key) !== intent || this.wrote.get(key) !== intent;
    });
  }

  table(): Local['schema']['tables'][number] {
    const [table] = this.local.schema.tables;
    if (table === undefined) throw new Error('the table is described');
    return table;
  }

  async settle(): Promise<void> {
    const nothing = (): void => undefined;
    for (let round = 0; round < 20; round += 1) {
      await this.pull();
      await this.push(nothing, nothing, false);
      const { dirty: left, outbox } = await countPending(this.local.driver);
      if (left + outbox === 0 && (await countContested(this.local.driver)) === 0) break;
    }
    await this.pull();
  }
}

const key = fc.constantFrom(...KEYS);
const isDelete = fc.boolean();
const edits = fc.array(fc.tuple(key, isDelete), { maxLength: 2 });
const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('local' as const), key, isDelete }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('peer' as const), key, isDelete }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('pull' as const), behind: fc.nat({ max: 2 }) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('push' as const),
      between: edits,
      inside: edits,
      pullsInside: fc.boolean(),
      reverses: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('freeze' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('rebuild' as const), meanwhile: edits }) },
);
type Step = (typeof step)['generate'] extends (...args: never[]) => { readonly value: infer V } ? V : never;

async function run(world: World, action: Step): Promise<void> {
  const write = (changes: readonly (readonly [string, boolean])[]): void => {
    for (const [name, deletes] of changes) world.localWrite(name, deletes);
  };
  switch (action.kind) {
    case 'local':
      return world.localWrite(action.key, action.isDelete);
    case 'peer':
      return world.peerWrite(action.key, action.isDelete);
    case 'pull':
      return world.pull(world.server.seq - BigInt(action.behind));
    case 'freeze': {
      const { outbox } = await loadClientState(world.local.driver);
      if (outbox.state === 'none') await freezeOutbox(world.local.driver, world.local.schema, FREEZE);
      return;
    }
    case 'push':
      return world.push(
        () => write(action.between),
        async () => {
          write(action.inside);
          if (action.pullsInside) await world.pull();
        },
        action.reverses,
      );
    case 'rebuild':
      return world.rebuild(() => write(action.meanwhile));
  }
}

test('[I17] [K5] [K10] [T86] [T97] no history loses a local write, and every history ends in agreement', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60 }), async (steps) => {
      const world = new World(await openAttached(DDL));
      for (const action of steps) {
        await run(world, action);
        expect(world.lostWrites()).toEqual([]);
        expect((await loadClientState(world.local.driver)).applyMode).toBe(0);
      }
      await world.settle();
      expect(query(world.local, 'SELECT id, v FROM t ORDER BY id')).toEqual(world.server.live());
      expect(await countPending(world.local.driver)).toEqual({ dirty: 0, outbox: 0, quarantined: 0 });
      expect(await countContested(world.local.driver)).toBe(0);
      for (const [name, value] of world.wrote) {
        const seen = world.server.history.get(name) ?? new Set();
        if (value !== undefined) expect(seen, `${name}: ${value}`).toContain(value);
      }
      world.local.driver.close();
    }),
    { numRuns: 60 },
  );
});
