import { asArray, asString } from '../json.ts';
import type { FixtureObject } from '../json.ts';
import type { ContractDevice } from './contract-device.ts';

/** Runs a step and answers with the result in the words of the fixtures, `null` where a step has none. */
type StepAction = (device: ContractDevice, sql: readonly string[]) => Promise<FixtureObject | null>;

const USER = 'user-1';

const APPLY_MODE = (mode: number): string => `UPDATE _sync_apply_state SET apply_mode = ${mode} WHERE singleton_key = 1`;

/** Every action of the fixtures by its name. */
const ACTIONS: Readonly<Record<string, StepAction>> = {
  localSql: async (device, sql) => {
    device.runSql(sql);
    return null;
  },
  applyModeSql: async (device, sql) => {
    device.runSql([APPLY_MODE(1), ...sql, APPLY_MODE(0)]);
    return null;
  },
  open: async ({ client }) => {
    await client.open();
    return null;
  },
  // The application as it starts again: an attached database goes on where it was.
  reopen: async (device) => {
    await device.reopen();
    const { binding, userId } = await device.client.open();
    if (binding === 'attached') await device.client.attach(userId ?? USER);
    return null;
  },
  reopenOpen: async (device) => {
    await device.reopen();
    await device.client.open();
    return null;
  },
  attach: async ({ client }) => {
    const result = await client.attach(USER);
    return result.status === 'retry_later'
      ? { kind: 'attach_retry_later', retryAfterSeconds: result.retryAfterSeconds }
      : { kind: 'attach', outcome: result.outcome };
  },
  pushPending: async ({ client }) => ({ kind: 'push', outcome: (await client.pushPending()).outcome }),
  pullToStable: async ({ client }) => ({ kind: 'remote_sync', outcome: (await client.pullToStable()).outcome }),
  rebuild: async ({ client }) => ({ kind: 'remote_sync', outcome: (await client.rebuild()).outcome }),
  sync: async ({ client }) => {
    const { push, remote } = await client.sync();
    return { kind: 'sync', pushOutcome: push.outcome, remoteOutcome: remote.outcome };
  },
  detach: async ({ client }) => ({ kind: 'detach', outcome: (await client.detach()).outcome }),
  syncThenDetach: async ({ client }) => {
    const { detach, syncRounds, remainingPendingRowCount, lastSync } = await client.syncThenDetach();
    return {
      kind: 'sync_then_detach',
      isSuccess: detach.outcome === 'detached',
      detach: detach.outcome,
      syncRounds,
      remainingPendingRowCount,
      pushOutcome: lastSync.push.outcome,
      remoteOutcome: lastSync.remote.outcome,
    };
  },
  sourceInfo: async ({ client }) => {
    const { currentSourceId, rebuildRequired, sourceRecoveryRequired, sourceRecoveryReason } = await client.sourceInfo();
    const reason = sourceRecoveryReason === undefined ? {} : { sourceRecoveryReason };
    const flags = { rebuildRequired, sourceRecoveryRequired };
    return { kind: 'source_info', currentSourceIdPresent: currentSourceId !== '', ...flags, ...reason };
  },
};

/** Runs the SQL that a step brings along, then its action. Throws for an action that no client has. */
export async function runAction(device: ContractDevice, step: FixtureObject): Promise<FixtureObject | null> {
  const name = asString(step['action']);
  const action = ACTIONS[name];
  if (action === undefined) throw new Error(`unknown action: ${name}`);
  return action(device, asArray(step['sql'] ?? []).map(asString));
}
