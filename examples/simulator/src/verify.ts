import { deepStrictEqual } from 'node:assert/strict';

import type { SimulatedApp } from './app.ts';
import { columnsOf, deviceRow, serverRow, serverSelect } from './canonical-rows.ts';
import type { Environment } from './environment.ts';
import type { Simulation } from './simulation.ts';
import { TABLE_NAMES } from './tables.ts';
import type { TableName } from './tables.ts';

type Rows = readonly (readonly (string | null)[])[];
type Content = Readonly<Record<string, Rows>>;

/** Everything in the tables of a device, as comparable text. */
export async function deviceContent(app: SimulatedApp): Promise<Content> {
  const read = async (table: TableName): Promise<[string, Rows]> => {
    const columns = columnsOf(table).map(([name]) => name);
    const rows = await app.driver.all(`SELECT ${columns.join(', ')} FROM ${table} ORDER BY id`);
    return [table, rows.map((row) => deviceRow(table, row))];
  };
  return Object.fromEntries(await Promise.all(TABLE_NAMES.map(read)));
}

/** Everything the server has of a user, as the same text. */
export async function serverContent(environment: Environment, user: string): Promise<Content> {
  const read = async (table: TableName): Promise<[string, Rows]> => {
    const rows = await environment.query(serverSelect(table), [user]);
    return [table, rows.map((row) => serverRow(table, row))];
  };
  return Object.fromEntries(await Promise.all(TABLE_NAMES.map(read)));
}

/** Rows of a user per table on the server. */
export async function serverCounts(environment: Environment, user: string): Promise<Readonly<Record<string, number>>> {
  const content = await serverContent(environment, user);
  return Object.fromEntries(Object.entries(content).map(([table, rows]) => [table, rows.length]));
}

const NOTHING_LEFT = `SELECT (SELECT count(*) FROM _sync_dirty_rows), (SELECT count(*) FROM _sync_outbox_rows),
  (SELECT count(*) FROM _sync_snapshot_stage), (SELECT count(*) FROM _oversync_bundle_stage), (SELECT count(*) FROM _oversync_quarantine)`;

async function leftovers(app: SimulatedApp): Promise<Readonly<Record<string, number>>> {
  const [row = []] = await app.driver.all(NOTHING_LEFT);
  const [dirty, outbox, stage, bundleStage, quarantine] = row.map(Number);
  return { dirty: dirty ?? 0, outbox: outbox ?? 0, stage: (stage ?? 0) + (bundleStage ?? 0), quarantine: quarantine ?? 0 };
}

const NONE = { dirty: 0, outbox: 0, stage: 0, quarantine: 0 };

/** True when every device shows what the server has, with nothing left to do and one checkpoint. */
export async function isEqual(simulation: Simulation, user: string, apps: readonly SimulatedApp[]): Promise<boolean> {
  try {
    await assertEqual(simulation, user, apps);
    return true;
  } catch {
    return false;
  }
}

/** Throws unless every device shows what the server has: the same rows and checkpoint, nothing unsent, staged or set aside. */
export async function assertEqual(simulation: Simulation, user: string, apps: readonly SimulatedApp[]): Promise<void> {
  const checkpoints = await Promise.all(apps.map((app) => app.client.lastBundleSeqSeen()));
  for (const app of apps) deepStrictEqual(await leftovers(app), NONE, `leftovers of ${app.name}`);
  deepStrictEqual(
    checkpoints,
    checkpoints.map(() => checkpoints[0]),
    'checkpoints',
  );
  const contents = await Promise.all(apps.map(deviceContent));
  const expected = simulation.settings.isVerifying ? await serverContent(simulation.environment, user) : contents[0];
  contents.forEach((content, index) => deepStrictEqual(content, expected, `rows of ${apps[index]?.name}`));
}

/** Throws unless the server holds so many rows of the user; tables that are not named are not looked at. */
export async function assertServerCounts(
  simulation: Simulation,
  user: string,
  expected: Readonly<Record<string, number>>,
): Promise<void> {
  if (!simulation.settings.isVerifying) return;
  const counts = await serverCounts(simulation.environment, user);
  deepStrictEqual(
    Object.fromEntries(Object.keys(expected).map((table) => [table, counts[table]])),
    expected,
    'rows on the server',
  );
}
