import { describe, expect, test } from 'vitest';

import { localChange } from './local-change.ts';
import { touchedTables } from './touched-tables.ts';
import type { ProgramStep, SchemaRoots } from './touched-tables.ts';

const SCHEMA: SchemaRoots = {
  roots: [
    { database: 0, rootPage: 2, table: 'Users' },
    { database: 0, rootPage: 3, table: 'posts' },
    { database: 1, rootPage: 2, table: 'drafts' },
  ],
  virtualTables: [],
};

const step = (opcode: string, p1: number, p2: number, p3 = 0, p5 = 0): ProgramStep => ({ opcode, p1, p2, p3, p5 });
const read = (...steps: ProgramStep[]): readonly string[] | null => {
  const tables = touchedTables(steps, SCHEMA).read;
  return tables === null ? null : [...tables];
};

describe('tables of a statement', () => {
  test('[T112] root pages lead to tables, per database, in lower case, each once', () => {
    expect(read(step('OpenRead', 0, 2), step('OpenRead', 1, 3), step('ReopenIdx', 2, 3), step('OpenRead', 3, 2, 1))).toEqual([
      'users',
      'posts',
      'drafts',
    ]);
  });

  test('writes are kept apart, the clearing of a whole table included', () => {
    const touched = touchedTables([step('OpenWrite', 0, 2), step('Clear', 3, 0), step('OpenRead', 0, 3)], SCHEMA);
    expect([...touched.written]).toEqual(['users', 'posts']);
    expect(touched.read).toEqual(new Set(['posts']));
  });

  test('the schema is a table, a b-tree that the statement creates is none', () => {
    expect(read(step('OpenRead', 0, 1))).toEqual(['sqlite_schema']);
    expect(touchedTables([step('OpenWrite', 0, 7, 0, 0x10)], SCHEMA).written.size).toBe(0);
  });

  test('an unknown b-tree, or a virtual table where there are any, may stand for every table', () => {
    expect(read(step('OpenRead', 0, 99))).toBeNull();
    expect(read(step('VOpen', 0, 0))).toEqual([]);
    expect(touchedTables([step('VOpen', 0, 0)], { ...SCHEMA, virtualTables: ['Search'] }).read).toBeNull();
    expect([...touchedTables([step('VUpdate', 0, 3)], { ...SCHEMA, virtualTables: ['Search'] }).written]).toEqual(['search']);
  });
});

describe('commits of the application', () => {
  const managed = ['users', 'posts'];

  test('[T111] tables of the application are announced, those of capture left out', () => {
    expect(localChange(['Users', '_sync_dirty_rows', '_oversync_row_bases', 'users'], managed)).toEqual(['users']);
    expect(localChange(['_sync_mine'], managed)).toEqual(['_sync_mine']);
  });

  test('[T111] a commit of the engine is not the application’s', () => {
    expect(localChange(['users', '_sync_dirty_rows', '_sync_apply_state'], managed)).toBeNull();
    expect(localChange(['_sync_dirty_rows', '_sync_outbox_rows'], managed)).toBeNull();
    expect(localChange(['_oversync_meta'], managed)).toBeNull();
  });

  test('captured rows without a table concern the managed tables', () => {
    expect(localChange(['_sync_dirty_rows'], managed)).toEqual(managed);
    expect(localChange([], managed)).toBeNull();
  });
});
