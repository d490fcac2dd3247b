import { setTimeout as sleep } from 'node:timers/promises';

import { isSyncError } from '@oversync/client';

import type { Device } from './device.ts';

/** Sync rounds that one step may need: rows that came back changed are pushed again. */
const ROUNDS_MAX = 5;

type Update = (rowsDone: number, total?: number) => void;

/** Attaches if this file is not attached yet, then syncs until nothing waits to be sent. Returns the rows that were sent. */
export async function syncUntilClean(device: Device, user: string, update: Update, signal: AbortSignal): Promise<number> {
  await attach(device, user, signal);
  using _progress = showTransfers(device, update);
  const before = (await device.client.pendingSyncStatus()).pendingRowCount;
  for (let round = 1; ; round += 1) {
    await device.client.sync({ signal });
    const status = await device.client.pendingSyncStatus();
    if (status.quarantinedRowCount > 0) throw new Error(`${device.name}: ${status.quarantinedRowCount} rows were set aside`);
    if (status.pendingRowCount === 0) return before;
    if (round === ROUNDS_MAX) throw new Error(`${device.name}: ${status.pendingRowCount} rows are still unsent`);
  }
}

/** A device without any data attaches and takes over what the server has. Returns the number of places it then holds. */
export async function joinAsNewDevice(device: Device, user: string, update: Update, signal: AbortSignal): Promise<number> {
  {
    using _progress = showTransfers(device, update);
    await attach(device, user, signal);
    await device.client.sync({ signal });
  }
  const [row] = await device.driver.all('SELECT count(*) FROM places');
  return Number(row?.[0] ?? 0);
}

/** Offline, a sync fails with an error that may be retried, and every edit still waits. */
export async function expectOffline(device: Device, signal: AbortSignal): Promise<void> {
  const before = await device.client.pendingSyncStatus();
  const error: unknown = await device.client.sync({ signal }).catch((reason: unknown) => reason);
  signal.throwIfAborted();
  const after = await device.client.pendingSyncStatus();
  const isKept = after.pendingRowCount === before.pendingRowCount && after.pendingRowCount > 0;
  // After a restart the client does not know its user before it has attached, which it does when it is online again.
  const isExpected = isSyncError(error) && (error.retryable || error.code === 'attach_required');
  if (!isKept || !isExpected) throw new Error(`${device.name} did not keep its edits while it was offline`, { cause: error });
}

async function attach(device: Device, user: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    const result = await device.client.attach(user, { signal });
    if (result.status === 'connected') return;
    await sleep(result.retryAfterSeconds * 1000, undefined, { signal });
  }
}

function showTransfers(device: Device, update: Update): Disposable {
  const unsubscribe = device.client.subscribe((event) => {
    if (event.type === 'progress' && event.rowsDone !== undefined) update(event.rowsDone, event.rowsTotal);
  });
  return { [Symbol.dispose]: unsubscribe };
}
