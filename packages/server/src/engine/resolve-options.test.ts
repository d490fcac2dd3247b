import { isSyncError } from '@oversync/protocol';
import { expect, test } from 'vitest';

import { OPTION_DEFAULTS } from '../limits.ts';
import type { Postgres } from '../ports/postgres.ts';
import type { SyncServerOptions } from './options.ts';
import { resolveOptions } from './resolve-options.ts';

const database: Postgres = {
  features: { concurrentTransactions: true },
  transaction: () => Promise.reject(new Error('not used')),
  query: () => Promise.reject(new Error('not used')),
};

function createOptions(more: object = {}): SyncServerOptions {
  return { database, resolveActor: () => null, registeredTables: [], ...more };
}

function findProblems(more: object): readonly string[] {
  try {
    resolveOptions(createOptions(more));
  } catch (error) {
    if (isSyncError(error) && error.code === 'options_invalid') return error.details['problems'] as readonly string[];
    throw error;
  }
  return [];
}

test('every option has its default', () => {
  const resolved = resolveOptions(createOptions());
  expect(resolved).toMatchObject({
    ...OPTION_DEFAULTS,
    maxPlannedRowsPerPush: 1_000_000,
    metadataSchema: 'sync',
    adoption: 'auto',
  });
  expect(resolved.watch).toMatchObject({ enabled: false, notifyChannel: 'oversync_bundle_change_v1' });
  expect(resolved.retry).toStrictEqual({ attempts: 3, baseMs: 25 });
});

test('all faults are reported together', () => {
  const problems = findProblems({
    colour: 'red',
    maxJsonDepth: -1,
    statementTimeoutMs: 1.5,
    defaultRowsPerPushChunk: 6000,
    watch: { speed: 9, notifyChannel: 'é'.repeat(40) },
    maintenance: { batchRows: 0 },
    reservedSourceIds: ['a b'],
  });
  expect(problems).toHaveLength(8);
  expect(problems.join('\n')).toContain('watch.speed is not a known option');
});

test.each([
  [{ defaultBytesPerSnapshotChunk: 17 * 1024 * 1024 }],
  [{ maxBytesPerSnapshotRow: 17 * 1024 * 1024 }],
  [{ maxBytesPerSnapshotRow: 5 * 1024 * 1024 }],
  [{ metadataSchema: 'Sync' }],
  [{ maxRowsPerBundle: 0 }],
  [{ maxBytesPerSnapshotChunk: 2 ** 31 }],
  [{ pushSessionTtlMs: 999 }],
  [{ adoption: 'maybe' }],
  [{ onEvent: 'log' }],
  [{ resolveActor: undefined }],
  [{ registeredTables: 'notes' }],
])('%j is refused', (more) => {
  expect(findProblems(more)).not.toHaveLength(0);
});

test('null switches a limit off', () => {
  const off = { maxRowsPerBundle: null, maxBytesPerBundle: null, retainedBundlesPerScope: null };
  expect(resolveOptions(createOptions(off))).toMatchObject({ ...off, maxPlannedRowsPerPush: null });
});

test('the object of the caller is neither modified nor kept', () => {
  const tables = [{ schema: 'business', table: 'notes', syncKeyColumn: 'id' }];
  const options = createOptions({ registeredTables: tables, watch: { enabled: true } });
  const before = structuredClone({ ...options, database: undefined, resolveActor: undefined });
  const resolved = resolveOptions(options);
  expect({ ...options, database: undefined, resolveActor: undefined }).toStrictEqual(before);
  tables.pop();
  expect(resolved.registeredTables).toHaveLength(1);
  expect(Object.isFrozen(resolved)).toBe(true);
});

test('a snapshot row limit that default clients refuse is warned about', () => {
  const lines: string[] = [];
  const logger = { error: () => {}, info: () => {}, warn: (message: string) => lines.push(message) };
  const large = 5 * 1024 * 1024;
  resolveOptions(createOptions({ logger, maxBytesPerSnapshotRow: large, snapshotBatchBytes: large }));
  expect(lines).toHaveLength(1);
});
