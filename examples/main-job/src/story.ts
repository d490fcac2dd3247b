import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { createNewestWins, type ConflictNote } from './newest-wins.ts';
import { type Device, deviceFile, openDevice } from './device.ts';
import { type Dump, digestPlaces } from './dump.ts';
import { planRound } from './edits.ts';
import { computeExpected } from './expected.ts';
import { applyEdits, digestDevice, insertPlaces, loadSortedIds } from './local-places.ts';
import { type City, makePlace } from './place.ts';
import type { StartProgress } from './progress.ts';
import { loadImportIndex, loadRounds, loadStep, saveImportIndex, saveRound, saveStep, type StepRecord } from './story-log.ts';
import { expectOffline, joinAsNewDevice, syncUntilClean } from './sync-steps.ts';

/** Rows of one local transaction of the import: an interrupted import goes on at the last multiple. */
const IMPORT_BATCH_ROWS = 2000;

export interface StoryOptions {
  /** Folder of the devices' files. */
  readonly folder: string;
  readonly serverUrl: string;
  readonly user: string;
  readonly cities: readonly City[];
  /** Places to import; more than a former round had are added, fewer change nothing. */
  readonly rows: number;
  readonly digestServer: () => Promise<Dump>;
  readonly startProgress: StartProgress;
  readonly signal: AbortSignal;
  /** Told which round is played, and whether an earlier process began it. */
  readonly onRound?: (round: number, isResumed: boolean) => void;
  /** Told when a step begins, with its name and whether it had been finished by an earlier process. */
  readonly onStep?: (step: StepName, wasDone: boolean) => void;
}

export type StepName =
  | 'import'
  | 'first-sync'
  | 'second-device'
  | 'edits-a'
  | 'edits-b'
  | 'sync-a'
  | 'sync-b'
  | 'final-sync-a'
  | 'third-device'
  | 'proof';

export interface StepFigure extends StepRecord {
  readonly step: StepName;
  readonly title: string;
}

export interface StoryResult {
  readonly round: number;
  readonly figures: readonly StepFigure[];
  /** Conflicts decided by this process. */
  readonly conflicts: readonly ConflictNote[];
  readonly dumps: readonly { readonly where: string; readonly dump: Dump }[];
  readonly isEqual: boolean;
}

/**
 * Plays one round of the two-device story, or the rest of it when an earlier process was interrupted. Everything that has to be
 * remembered is in the devices' own files; a step that is found finished is skipped. A round that ended with its proof is
 * followed by a new round with other edits.
 */
export async function playStory(options: StoryOptions): Promise<StoryResult> {
  const rule = createNewestWins();
  const common = { folder: options.folder, serverUrl: options.serverUrl, user: options.user };
  await using devices = new AsyncDisposableStack();
  const open = async (name: string): Promise<Device> => {
    const device = await openDevice({ ...common, name, resolver: rule.resolver });
    devices.defer(() => device.close());
    return device;
  };
  const a = await open('device-a');
  const round = await beginRound(a, options);
  const story = new Story(options, a, round);
  const { signal } = options;

  await story.play('import', 'device A imports places', options.rows, (update) => importPlaces(story, update));
  await story.play('first-sync', 'device A syncs', await countPending(a), (update) =>
    syncUntilClean(a, options.user, update, signal),
  );
  const b = await open('device-b');
  await story.play('second-device', round === 1 ? 'device B joins and rebuilds' : 'device B syncs', options.rows, (update) =>
    round === 1 ? joinAsNewDevice(b, options.user, update, signal) : syncUntilClean(b, options.user, update, signal),
  );
  await story.edit('edits-a', a, 'device A edits, adds, deletes (offline)');
  await story.edit('edits-b', b, 'device B edits, adds, deletes (offline)');
  await story.play('sync-a', 'device A is online again and syncs', await countPending(a), (update) =>
    syncUntilClean(a, options.user, update, signal),
  );
  await story.play('sync-b', 'device B syncs and resolves conflicts', await countPending(b), (update) =>
    syncUntilClean(b, options.user, update, signal),
  );
  await story.play('final-sync-a', 'device A receives what B decided', 0, (update) =>
    syncUntilClean(a, options.user, update, signal),
  );
  const nameOfC = `device-c-round-${round}`;
  removeOldThirdDevices(options.folder, nameOfC);
  const c = await open(nameOfC);
  await story.play('third-device', 'device C joins', options.rows, (update) => joinAsNewDevice(c, options.user, update, signal));

  const dumps = await story.prove([a, b, c]);
  const isEqual = new Set(dumps.map(({ dump }) => `${dump.rowCount} ${dump.sha256}`)).size === 1;
  if (isEqual) await story.finish();
  return { round, figures: story.figures, conflicts: rule.notes, dumps, isEqual };
}

/** The round to play: the unfinished one, or a new one. */
async function beginRound(a: Device, options: StoryOptions): Promise<number> {
  const rounds = await loadRounds(a.driver);
  const last = rounds.length;
  if (last > 0 && (await loadStep(a.driver, last, 'proof')) === undefined) {
    options.onRound?.(last, true);
    return last;
  }
  const placeCount = Math.max(Math.min(options.rows, options.cities.length), rounds.at(-1) ?? 0);
  await saveRound(a.driver, last + 1, placeCount);
  options.onRound?.(last + 1, false);
  return last + 1;
}

class Story {
  readonly figures: StepFigure[] = [];
  readonly options: StoryOptions;
  readonly a: Device;
  readonly round: number;

  constructor(options: StoryOptions, a: Device, round: number) {
    this.options = options;
    this.a = a;
    this.round = round;
  }

  /** Runs a step that may safely run again after a crash, and records it in the file of device A. */
  async play(
    step: StepName,
    title: string,
    total: number,
    work: (update: (rowsDone: number, total?: number) => void) => Promise<number>,
  ): Promise<void> {
    const done = await loadStep(this.a.driver, this.round, step);
    this.options.signal.throwIfAborted();
    this.options.onStep?.(step, done !== undefined);
    const progress = this.options.startProgress(title, total);
    let record = done;
    try {
      if (record === undefined) {
        const startedAt = performance.now();
        const rows = await work((rowsDone, newTotal) => progress.update(rowsDone, newTotal));
        record = { rows, ms: performance.now() - startedAt };
        await saveStep(this.a.driver, this.round, step, record);
      }
    } catch (error) {
      progress.abandon();
      throw error;
    }
    progress.end(record.rows, record.ms);
    this.figures.push({ step, title, ...record });
  }

  /** Makes a device's edits exactly once: the record is part of their transaction. */
  async edit(step: StepName, device: Device, title: string): Promise<void> {
    const done = await loadStep(device.driver, this.round, step);
    this.options.signal.throwIfAborted();
    this.options.onStep?.(step, done !== undefined);
    device.network.isOnline = false;
    const progress = this.options.startProgress(title, 0);
    let record = done;
    if (record === undefined) {
      const startedAt = performance.now();
      record = await device.driver.transaction('immediate', async (tx) => {
        const plan = planRound(this.round, await loadSortedIds(tx));
        const edits = device === this.a ? plan.a : plan.b;
        await applyEdits(tx, edits);
        const made = { rows: edits.length, ms: performance.now() - startedAt };
        await saveStep(tx, this.round, step, made);
        return made;
      });
      await expectOffline(device, this.options.signal);
    }
    device.network.isOnline = true;
    progress.end(record.rows, record.ms);
    this.figures.push({ step, title, ...record });
  }

  async prove(devices: readonly Device[]): Promise<StoryResult['dumps']> {
    this.options.onStep?.('proof', false);
    const expected = computeExpected(this.options.cities, await loadRounds(this.a.driver));
    const dumps = [
      { where: 'expected by the rule', dump: await digestPlaces(expected) },
      { where: 'PostgreSQL', dump: await this.options.digestServer() },
    ];
    for (const device of devices) dumps.push({ where: device.name, dump: await digestDevice(device.driver) });
    return dumps;
  }

  async finish(): Promise<void> {
    await saveStep(this.a.driver, this.round, 'proof', { rows: 0, ms: 0 });
  }
}

async function importPlaces(story: Story, update: (rowsDone: number) => void): Promise<number> {
  const { cities, signal } = story.options;
  const { driver } = story.a;
  const end = (await loadRounds(driver)).at(-1) ?? 0;
  const start = await loadImportIndex(driver);
  for (let from = start; from < end; from += IMPORT_BATCH_ROWS) {
    signal.throwIfAborted();
    const to = Math.min(from + IMPORT_BATCH_ROWS, end);
    const places = cities.slice(from, to).map((city, offset) => makePlace(city, from + offset));
    await driver.transaction('immediate', async (tx) => {
      await insertPlaces(tx, places);
      await saveImportIndex(tx, to);
    });
    update(to - start);
  }
  return end - start;
}

async function countPending(device: Device): Promise<number> {
  return (await device.client.pendingSyncStatus()).pendingRowCount;
}

/** The third device is new in every round. */
function removeOldThirdDevices(folder: string, keep: string): void {
  const current = deviceFile(folder, keep);
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (name.startsWith('device-c-') && !path.startsWith(current)) rmSync(path, { force: true });
  }
}
