import { describe, expect, test } from 'vitest';

import type { TableChange } from './table-changes.ts';
import { createChangeWorld, createChannels } from './test-change-world.ts';

describe('table changes', () => {
  test('[T111] commits of the application are local, those of the engine remote, each once', async () => {
    const { driver, events, changes } = createChangeWorld();
    await driver.exec('CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL)');
    const seen: TableChange[] = [];
    changes.subscribe((change) => seen.push(change));
    await driver.run('INSERT INTO notes VALUES (?)', ['a']);
    events.emit({ type: 'tablesChanged', tables: ['notes', 'tags'], origin: 'remote', operation: 'pullToStable' });
    events.emit({ type: 'progress', operation: 'pullToStable', phase: 'pulling' });
    changes.announceLocal(['Notes']);
    changes.announceLocal([]);
    expect(seen).toEqual([
      { tables: ['notes'], origin: 'local' },
      { tables: ['notes', 'tags'], origin: 'remote', operation: 'pullToStable' },
      { tables: ['notes'], origin: 'local' },
    ]);
  });

  test('[T111] a transaction of the engine is not taken for a local one', async () => {
    const { driver, changes } = createChangeWorld();
    await driver.exec('CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL); CREATE TABLE _sync_apply_state (apply_mode INTEGER)');
    await driver.run('INSERT INTO _sync_apply_state VALUES (0)');
    const seen: TableChange[] = [];
    changes.subscribe((change) => seen.push(change));
    await driver.transaction('immediate', async (tx) => {
      await tx.run('UPDATE _sync_apply_state SET apply_mode = 1');
      await tx.run('INSERT INTO notes VALUES (?)', ['a']);
      await tx.run('UPDATE _sync_apply_state SET apply_mode = 0');
    });
    expect(seen).toEqual([]);
  });

  test('[T111] other tabs hear of it, once, and do not send it back', async () => {
    const [first, second, third] = createChannels(3);
    const here = createChangeWorld(first);
    const there = createChangeWorld(second);
    const seenHere: TableChange[] = [];
    const seenThere: TableChange[] = [];
    const onWire: unknown[] = [];
    here.changes.subscribe((change) => seenHere.push(change));
    there.changes.subscribe((change) => seenThere.push(change));
    third?.subscribe((message) => onWire.push(message));
    await here.driver.exec('CREATE TABLE notes (id TEXT)');
    seenHere.length = 0;
    seenThere.length = 0;
    onWire.length = 0;
    await here.driver.run('INSERT INTO notes VALUES (?)', ['secret']);
    expect(seenHere).toEqual([{ tables: ['notes'], origin: 'local' }]);
    expect(seenThere).toEqual([{ tables: ['notes'], origin: 'local' }]);
    expect(onWire).toEqual([{ tables: ['notes'], origin: 'local' }]);
  });

  test('messages that are not about tables are ignored', () => {
    const [first, second] = createChannels(2);
    const { changes } = createChangeWorld(first);
    const seen: TableChange[] = [];
    changes.subscribe((change) => seen.push(change));
    for (const message of [null, 'notes', {}, { tables: 'notes', origin: 'local' }, { tables: [1], origin: 'local' }]) {
      second?.post(message);
    }
    second?.post({ tables: ['notes'], origin: 'elsewhere' });
    second?.post({ tables: Array.from({ length: 10_001 }, () => 'notes'), origin: 'local' });
    expect(seen).toEqual([]);
  });

  test('a listener that throws does not keep the change from the others; an ended one hears nothing', async () => {
    const { driver, changes } = createChangeWorld();
    await driver.exec('CREATE TABLE notes (id TEXT)');
    const seen: TableChange[] = [];
    const end = changes.subscribe(() => {
      throw new Error('a listener');
    });
    const endSecond = changes.subscribe((change) => seen.push(change));
    await driver.run('INSERT INTO notes VALUES (?)', ['a']);
    expect(seen.length).toBe(1);
    end();
    endSecond();
    endSecond();
    await driver.run('INSERT INTO notes VALUES (?)', ['b']);
    expect(seen.length).toBe(1);
  });
});
