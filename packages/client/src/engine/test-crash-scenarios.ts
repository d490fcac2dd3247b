import type { SyncClient } from '../client.ts';
import { clientWins } from '../rules/resolvers.ts';
import { REPAIRS, UPGRADES } from './test-crash-changes.ts';
import {
  COMBINATIONS,
  EDITED,
  EDITS,
  failing,
  insert,
  inStep,
  label,
  outboxUsers,
  user,
  withClient,
  withOutbox,
} from './test-crash-steps.ts';
import type { CrashScenario } from './test-crash-steps.ts';
import type { CrashWorld } from './test-crash-world.ts';

const FIRST_STEPS: readonly CrashScenario[] = [
  {
    name: 'first open over existing rows, seed',
    fromTheStart: true,
    prepare: (world) => {
      world.sql(insert(['a', 'a'], ['b', 'b'], ['c', 'c']));
      return Promise.resolve();
    },
    run: async (client, world) => {
      await client.open();
      await client.attach(world.userId);
      await client.sync();
    },
    users: ['a=a', 'b=b', 'c=c'],
  },
  {
    name: 'attach to an empty scope, first rows',
    fromTheStart: true,
    prepare: (world) => withClient(world, () => Promise.resolve()),
    run: async (client, world) => {
      await client.open();
      await client.attach(world.userId);
      world.sql("INSERT OR IGNORE INTO users VALUES ('a', 'a')");
      await client.sync();
    },
    // The scope may be initialised by a connect whose answer was lost; a row that was written before the next one is merged.
    goOn: async (client, world) => {
      await client.open();
      world.sql("INSERT OR IGNORE INTO users VALUES ('a', 'a')");
      await client.attach(world.userId, { localData: 'merge' });
    },
    users: ['a=a'],
  },
  {
    name: 'seed whose commit was lost',
    fromTheStart: true,
    prepare: (world) =>
      withClient(world, async (client) => {
        world.sql(insert(['a', 'a'], ['b', 'b']));
        await client.attach(world.userId);
        world.loseAnswer('push_session_commit');
        await failing(client.pushPending());
      }),
    run: async (client, world) => {
      await client.open();
      await client.attach(world.userId);
      await client.sync();
    },
    users: ['a=a', 'b=b'],
  },
  {
    name: 'seed lease taken over by another device',
    fromTheStart: true,
    prepare: (world) =>
      withClient(world, async (client) => {
        world.sql(insert(['a', 'mine'], ['c', 'c']));
        await client.attach(world.userId);
        world.loseRequest('push_session_create');
        await failing(client.pushPending());
        world.server.lease = { id: crypto.randomUUID(), sourceId: 'other' };
      }),
    run: async (client, world) => {
      await client.open();
      await client.attach(world.userId);
      await failing(client.sync());
      world.server.lease = null;
      await client.attach(world.userId);
      await client.sync();
    },
    goOn: (_client, world) => {
      world.server.lease = null;
      return Promise.resolve();
    },
    users: ['a=mine', 'c=c'],
  },
];

const REPLACEMENTS: readonly CrashScenario[] = [
  {
    name: 'remote replacement that merges local rows',
    fromTheStart: true,
    prepare: (world) => {
      world.server.write([user('a', 'a'), user('b', 'b'), user('d', 'd')]);
      world.sql(insert(['a', 'mine'], ['c', 'c']));
      return withClient(world, () => Promise.resolve());
    },
    run: async (client, world) => {
      await client.open();
      await client.attach(world.userId, { localData: 'merge' });
      await client.sync();
    },
    goOn: async (client, world) => {
      await client.open();
      await client.attach(world.userId, { localData: 'merge' });
    },
    users: ['a=mine', 'b=b', 'c=c', 'd=d'],
  },
  {
    name: 'remote replacement that sets local rows aside, then writes of the application',
    fromTheStart: true,
    prepare: async (world) => {
      world.server.write([user('a', 'a'), user('b', 'b'), user('d', 'd')]);
      world.sql(insert(['c', 'c']));
      await withClient(world, async (client) => {
        world.loseRequest('snapshot_chunk');
        await failing(client.attach(world.userId));
        world.sql(insert(['w', 'written meanwhile']));
      });
    },
    run: async (client, world) => {
      await client.open();
      await client.attach(world.userId);
    },
    users: ['a=a', 'b=b', 'd=d', 'w=written meanwhile'],
  },
  {
    name: 'remote replacement that is cancelled, then merged',
    isLocal: true,
    fromTheStart: true,
    prepare: async (world) => {
      world.server.write([user('a', 'a'), user('b', 'b')]);
      world.sql(insert(['c', 'c']));
      await withClient(world, async (client) => {
        world.loseRequest('snapshot_chunk');
        await failing(client.attach(world.userId));
      });
    },
    run: async (client) => {
      await client.open();
      await client.detach();
    },
    goOn: async (client, world) => {
      await client.open();
      await client.detach();
      await client.attach(world.userId, { localData: 'merge' });
    },
    users: ['a=a', 'b=b', 'c=c'],
  },
];

const PUSHES: readonly CrashScenario[] = [
  {
    name: 'push in parts, with an upload of several chunks',
    prepare: (world) => inStep(world, () => Promise.resolve(world.sql(EDITS))),
    run: (client) => client.sync(),
    users: EDITED,
  },
  {
    name: 'push of rows that triggers of the server change',
    prepare: (world) =>
      inStep(world, () => {
        world.server.effect = (row) => (row['name'] === 'new' ? { ...row, name: 'changed by the server' } : row);
        world.sql(EDITS);
        return Promise.resolve();
      }),
    run: (client) => client.sync(),
    users: ['a=mine', 'x=changed by the server', 'y=changed by the server'],
  },
  {
    name: 'push with a conflict and a row that the server refuses',
    prepare: (world) =>
      inStep(world, () => {
        world.server.write([user('a', 'peer')]);
        world.sql(EDITS);
        return Promise.resolve();
      }),
    run: async (client, world) => {
      world.refuseRow('y');
      await client.sync();
    },
    goOn: async (client, world) => {
      await client.open();
      await client.attach(world.userId);
      await client.sync();
      await client.quarantine.retry('all');
    },
    users: EDITED,
  },
  {
    name: 'push: outbox committed_remote, rows that the server has changed are still to be fetched',
    prepare: (world) =>
      inStep(world, async (client) => {
        world.server.effect = (row) => (row['name'] === 'frozen' ? { ...row, name: 'changed by the server' } : row);
        world.sql(insert(['x', 'frozen'], ['y', 'new']));
        world.loseRequest('committed_rows');
        await failing(client.pushPending());
        world.sql("UPDATE users SET name = 'newer' WHERE id = 'y'");
      }),
    run: (client) => client.sync(),
    users: ['a=a', 'b=b', 'x=changed by the server', 'y=newer'],
  },
  ...COMBINATIONS.filter(({ outbox }) => outbox !== 'none').map(({ outbox, alsoDirty }) => ({
    name: `push: ${label(outbox, alsoDirty)}`,
    prepare: (world: CrashWorld) => inStep(world, (client) => withOutbox(world, client, outbox, alsoDirty)),
    run: (client: SyncClient) => client.sync(),
    users: outboxUsers(outbox, alsoDirty),
  })),
];

const PULLS: readonly CrashScenario[] = [
  {
    name: 'pull of several bundles, one of them large, over pending rows',
    prepare: (world) =>
      inStep(world, () => {
        world.server.write([user('a', 'peer'), user('c', 'c')]);
        world.server.write(['1', '2', '3', '4', '5'].map((id) => user(id, id)));
        world.server.write([
          { table: 'users', id: 'b', payload: null },
          { table: 'posts', id: 'p', payload: null },
          user('1', 'one'),
        ]);
        world.sql("UPDATE users SET name = 'mine' WHERE id = 'a'; UPDATE posts SET body = 'edited' WHERE id = 'p';");
        return Promise.resolve();
      }),
    run: (client) => client.pullToStable(),
    goOn: async (client, world) => {
      await client.open();
      await client.attach(world.userId);
      await client.pullToStable();
      for (const row of await client.quarantine.list()) await client.quarantine.discard(row);
    },
    users: ['1=one', '2=2', '3=3', '4=4', '5=5', 'a=mine', 'c=c'],
  },
];

const CHECKPOINTS: readonly CrashScenario[] = COMBINATIONS.map(({ outbox, alsoDirty }) => ({
  name: `checkpoint recovery: ${label(outbox, alsoDirty)}`,
  prepare: (world) =>
    inStep(world, async (client) => {
      await withOutbox(world, client, outbox, alsoDirty);
      world.server.write([user('late', 'late')]);
      world.loseRequest('snapshot_session_create');
      await failing(client.rebuild());
    }),
  run: (client) => client.rebuild(),
  users: [...outboxUsers(outbox, alsoDirty), 'late=late'].toSorted(),
}));

const SOURCES: readonly CrashScenario[] = COMBINATIONS.filter(({ outbox }) => outbox !== 'none').map(({ outbox, alsoDirty }) => ({
  name: `source recovery: ${label(outbox, alsoDirty)}`,
  prepare: (world) =>
    inStep(world, async (client) => {
      await withOutbox(world, client, outbox, alsoDirty);
      world.server.write([user('late', 'late')]);
      const { currentSourceId } = await client.sourceInfo();
      world.sql(`UPDATE _sync_attachment_state SET rebuild_required = 1;
        INSERT INTO _sync_source_state(source_id) VALUES ('11111111-1111-4111-8111-111111111111');
        UPDATE _sync_operation_state SET kind = 'source_recovery', reason = 'source_retired',
          replacement_source_id = '11111111-1111-4111-8111-111111111111'`);
      world.server.retired.set(currentSourceId, null);
    }),
  run: (client) => client.rebuild(),
  users: [...outboxUsers(outbox, alsoDirty), 'late=late'].toSorted(),
}));

const RETIREMENT: CrashScenario = {
  name: 'source that the server has retired, found by a push',
  prepare: (world) =>
    inStep(world, async (client) => {
      await withOutbox(world, client, 'prepared', true);
      world.server.retired.set((await client.sourceInfo()).currentSourceId, null);
    }),
  run: async (client) => {
    await failing(client.sync());
    await client.rebuild();
  },
  users: outboxUsers('prepared', true),
};

const DEPARTURES: readonly CrashScenario[] = [
  {
    name: 'sync and detach, another user signs in',
    prepare: (world) => inStep(world, () => Promise.resolve(world.sql(EDITS))),
    run: async (client, world) => {
      await client.syncThenDetach();
      world.userId = 'user-2';
      world.serverOf('user-2').write([user('z', 'z')]);
      await client.attach('user-2');
      await client.sync();
    },
    goOn: async (client, world) => {
      if ((await client.open()).userId === 'user-2') return;
      if ((await client.sourceInfo()).currentSourceId !== '' && world.userId === 'user-1') {
        const { binding } = await client.open();
        if (binding === 'attached' || world.list('SELECT count(*) FROM users')[0] !== '0') {
          await client.attach('user-1');
          await client.sync();
          await client.syncThenDetach();
        }
        world.userId = 'user-2';
        world.serverOf('user-2').write([user('z', 'z')]);
      }
      await client.attach('user-2');
    },
    users: ['z=z'],
  },
  {
    name: 'uninstall, then a new start',
    isLocal: true,
    prepare: (world) => inStep(world),
    run: (client) => client.uninstallSync(),
    goOn: (client) => client.open(),
    users: ['a=a', 'b=b'],
  },
];

const QUARANTINES: readonly CrashScenario[] = (['retry', 'discard'] as const).map((action) => ({
  name: `quarantine: ${action}`,
  prepare: (world) =>
    inStep(world, async (client) => {
      world.sql("UPDATE users SET name = 'mine' WHERE id = 'a'; INSERT INTO users VALUES ('x', 'new')");
      world.refuseRow('a');
      world.refuseRow('x');
      await client.sync();
    }),
  run: async (client) => {
    for (const key of ['a', 'x']) await client.quarantine[action]({ table: 'users', key });
    await client.sync();
  },
  goOn: async (client, world) => {
    await client.open();
    await client.attach(world.userId);
    for (const row of await client.quarantine.list()) await client.quarantine[action](row);
  },
  users: action === 'retry' ? ['a=mine', 'b=b', 'x=new'] : ['a=a', 'b=b'],
}));

const LOSSES: readonly CrashScenario[] = [
  {
    name: 'scope that the server has forgotten, seeded again',
    prepare: (world) => {
      world.options = { onScopeLost: 'reseed', resolver: clientWins };
      return inStep(world, () => {
        world.sql(insert(['x', 'new']));
        world.server.isInitialized = false;
        return Promise.resolve();
      });
    },
    run: (client) => client.sync(),
    users: ['a=a', 'b=b', 'x=new'],
  },
  {
    name: 'history that the server has pruned, found by a pull',
    prepare: (world) =>
      inStep(world, () => {
        world.server.write([user('c', 'c')]);
        world.server.write([user('d', 'd')]);
        world.server.prune(world.server.head);
        world.sql(EDITS);
        return Promise.resolve();
      }),
    run: (client) => client.sync(),
    users: ['a=mine', 'c=c', 'd=d', 'x=new', 'y=new'],
  },
];

export const CRASH_SCENARIOS: readonly CrashScenario[] = [
  ...FIRST_STEPS,
  ...REPLACEMENTS,
  ...PUSHES,
  ...PULLS,
  ...CHECKPOINTS,
  ...SOURCES,
  RETIREMENT,
  ...DEPARTURES,
  ...QUARANTINES,
  ...LOSSES,
  ...REPAIRS,
  ...UPGRADES,
];
