import { describe, expect, expectTypeOf, test } from 'vitest';

import { createSyncClient } from '../client.ts';
import type { SyncClient } from '../client.ts';
import { createNodeSqliteDriver } from '../drivers/node-sqlite.ts';
import type { SyncClientOptions } from '../engine/options.ts';
import type { ConflictContext, Resolution, Resolver, RowValue } from './conflict-types.ts';
import { defineTables } from './define-tables.ts';
import type { TableConfig } from './local-schema.ts';
import { clientWins, keepLocal, latestBy, mergeColumns, serverWins } from './resolvers.ts';

interface Note {
  id: string;
  title: string;
  stars: bigint;
  score: number | null;
  data: Uint8Array | null;
  meta: { readonly colour: string } | null;
  updated_at: string;
}

interface Tag {
  tag_id: string;
  label: string;
}

interface Schema {
  notes: Note;
  tags: Tag;
}

const options = (): Omit<SyncClientOptions, 'tables'> => ({
  driver: createNodeSqliteDriver(':memory:'),
  baseUrl: 'https://h',
  headers: () => ({}),
  schema: 'main',
});

describe('tables with row types', () => {
  test('become the list that createSyncClient takes, with their names known', () => {
    const resolver: Resolver<Note> = ({ local, server }) => ({
      kind: (local?.stars ?? 0n) > (server?.stars ?? 0n) ? 'keepLocal' : 'acceptServer',
    });
    const tables = defineTables<Schema>({
      notes: { key: 'id', jsonColumns: ['meta'], resolver, captureBase: true },
      tags: { key: 'tag_id' },
    });
    expect(tables).toEqual([
      { tableName: 'notes', syncKeyColumnName: 'id', jsonColumns: ['meta'], resolver, captureBase: true },
      { tableName: 'tags', syncKeyColumnName: 'tag_id' },
    ]);
    expectTypeOf(tables).toEqualTypeOf<readonly TableConfig<'notes' | 'tags'>[]>();
    const client = createSyncClient({ ...options(), tables });
    expectTypeOf(client).toEqualTypeOf<SyncClient<'notes' | 'tags'>>();
    expectTypeOf(client).toExtend<SyncClient>();
    expect(client.tableNames).toEqual(['notes', 'tags']);
  });

  test('give resolvers typed rows, and take typed rows back', () => {
    defineTables<Schema>({
      notes: {
        key: 'id',
        resolver: (conflict) => {
          expectTypeOf(conflict).toEqualTypeOf<ConflictContext<Note>>();
          expectTypeOf(conflict.local).toEqualTypeOf<Readonly<Note> | null>();
          const { local, server } = conflict;
          if (local === null || server === null) return { kind: 'acceptServer' };
          return { kind: 'keepMerged', row: { ...server, title: local.title } };
        },
      },
      tags: {
        key: 'tag_id',
        resolver: async ({ server }): Promise<Resolution<Tag>> => ({
          kind: 'keepMerged',
          row: server ?? { tag_id: 't', label: '' },
        }),
      },
    });
    expectTypeOf<Resolution<Note>>().toExtend<{ readonly kind: string }>();
    expect(defineTables<Pick<Schema, 'tags'>>({ tags: { key: 'tag_id' } })).toHaveLength(1);
  });

  test('take the resolvers of the package', () => {
    const tables = defineTables<{ a: Note; b: Note; c: Note; d: Note; e: Note }>({
      a: { key: 'id', resolver: serverWins },
      b: { key: 'id', resolver: clientWins },
      c: { key: 'id', resolver: keepLocal },
      d: { key: 'id', resolver: mergeColumns({ prefer: 'local' }) },
      e: { key: 'id', resolver: latestBy('updated_at') },
    });
    expect(tables.map(({ resolver }) => resolver?.usesBase ?? false)).toEqual([false, false, false, true, false]);
  });

  test('take an upgrader that returns rows of the table', () => {
    const upgradeRow = ({ key }: { readonly key: string }) => ({ tag_id: key, label: 'upgraded' });
    const [tags] = defineTables<Pick<Schema, 'tags'>>({ tags: { key: 'tag_id', upgradeRow } });
    expect(tags?.upgradeRow).toBe(upgradeRow);
    // @ts-expect-error -- the upgraded row lacks a column
    defineTables<Pick<Schema, 'tags'>>({ tags: { key: 'tag_id', upgradeRow: ({ key }) => ({ tag_id: key }) } });
  });

  test('refuse columns and rows that the types do not have', () => {
    // @ts-expect-error -- no such key column
    defineTables<Schema>({ notes: { key: 'ID' }, tags: { key: 'tag_id' } });
    // @ts-expect-error -- a table is missing
    defineTables<Schema>({ notes: { key: 'id' } });
    // @ts-expect-error -- a table too many
    defineTables<Pick<Schema, 'tags'>>({ tags: { key: 'tag_id' }, others: { key: 'id' } });
    // @ts-expect-error -- no such JSON column
    defineTables<Pick<Schema, 'tags'>>({ tags: { key: 'tag_id', jsonColumns: ['meta'] } });
    // @ts-expect-error -- no such column to compare
    defineTables<Pick<Schema, 'tags'>>({ tags: { key: 'tag_id', resolver: latestBy('updated_at') } });
    const short = (): Resolution<{ tag_id: string }> => ({ kind: 'keepMerged', row: { tag_id: 't' } });
    // @ts-expect-error -- the merged row lacks a column
    defineTables<Pick<Schema, 'tags'>>({ tags: { key: 'tag_id', resolver: short } });
    // @ts-expect-error -- a Date is no value of SQLite
    expect(defineTables<{ events: { id: string; at: Date } }>({ events: { key: 'id' } })).toHaveLength(1);
  });
});

describe('tables without row types', () => {
  test('still have names', () => {
    const tables = defineTables({ notes: { key: 'id', resolver: latestBy('updated_at') }, tags: { key: 'id' } });
    expectTypeOf(tables).toEqualTypeOf<readonly TableConfig<'notes' | 'tags'>[]>();
    defineTables({
      notes: {
        key: 'id',
        resolver: ({ local }) => {
          expectTypeOf(local?.['anything']).toEqualTypeOf<RowValue | undefined>();
          return { kind: 'acceptServer' };
        },
      },
    });
    expect(tables.map(({ tableName }) => tableName)).toEqual(['notes', 'tags']);
  });

  test('written as a plain list, their names are inferred too', () => {
    const client = createSyncClient({ ...options(), tables: [{ tableName: 'notes', syncKeyColumnName: 'id' }] });
    expectTypeOf(client.tableNames).toEqualTypeOf<readonly 'notes'[]>();
    expectTypeOf<SyncClient<'notes'>['write']>().parameter(1).toExtend<readonly string[] | undefined>();
    const anyTables: readonly TableConfig[] = [];
    expectTypeOf(createSyncClient({ ...options(), tables: anyTables })).toEqualTypeOf<SyncClient>();
    expect(client.tableNames).toEqual(['notes']);
  });
});
