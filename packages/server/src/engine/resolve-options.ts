import { isSourceId, SyncError } from '@oversync/protocol';

import {
  COMPRESSION_DEFAULTS,
  INT32_MAX,
  MAINTENANCE_DEFAULTS,
  NOTIFY_CHANNEL_BYTES_MAX,
  NULLABLE_DEFAULTS,
  NUMERIC_DEFAULTS,
  OPTION_DEFAULTS,
  RETRY_DEFAULTS,
  WATCH_DEFAULTS,
} from '../limits.ts';
import { SILENT_LOGGER } from './events.ts';
import { OptionReader } from './option-reader.ts';
import { createSafeLogger } from './safe-logger.ts';
import type { NullableNumericOptions, NumericOptions, ResolvedOptions, SyncServerOptions } from './options.ts';

/** Options without a numeric default. */
const OTHER_NAMES = [
  'database',
  'listenDatabase',
  'resolveActor',
  'registeredTables',
  'appName',
  'metadataSchema',
  'bindSourcesToUser',
  'reservedSourceIds',
  'maxPlannedRowsPerPush',
  'maxRowsPerSnapshotSession',
  'maxBytesPerSnapshotSession',
  'retainedBundleAgeMs',
  'retainedBundleBytesPerScope',
  'compression',
  'retry',
  'watch',
  'maintenance',
  'adoption',
  'bootstrapPolicy',
  'ops',
  'onEvent',
  'logger',
] as const;

/** Numeric options that may be zero: no queue, no wait. */
const ZERO_ALLOWED: ReadonlySet<string> = new Set([
  'scopeQueueLength',
  'snapshotQueueWaitMs',
  'schemaVersion',
  'writeReceiptRetentionMs',
]);

/** Whole seconds are announced, so less than one would be announced as none. */
const MIN_BY_NAME: ReadonlyMap<string, number> = new Map([
  ['pushSessionTtlMs', 1000],
  ['snapshotSessionTtlMs', 1000],
  ['initializationLeaseTtlMs', 1000],
]);

const DEFAULT_MAX_PAIRS = [
  ['defaultRowsPerPushChunk', 'maxRowsPerPushChunk'],
  ['defaultRowsPerCommittedBundleChunk', 'maxRowsPerCommittedBundleChunk'],
  ['defaultBundlesPerPull', 'maxBundlesPerPull'],
  ['defaultRowsPerSnapshotChunk', 'maxRowsPerSnapshotChunk'],
  ['defaultBytesPerSnapshotChunk', 'maxBytesPerSnapshotChunk'],
  ['maxBytesPerSnapshotRow', 'maxBytesPerSnapshotChunk'],
  ['maxBytesPerSnapshotRow', 'snapshotBatchBytes'],
] as const satisfies readonly (readonly [keyof NumericOptions, keyof NumericOptions])[];

/** Above this a snapshot row does not fit the apply batch of clients with default settings. */
const SNAPSHOT_ROW_BYTES_WARN = NUMERIC_DEFAULTS.maxBytesPerSnapshotRow;

/**
 * Applies the defaults and checks every option. The caller's object is neither kept nor modified.
 *
 * @throws SyncError `options_invalid`; `details.problems` lists every fault, not only the first.
 */
export function resolveOptions(options: SyncServerOptions): ResolvedOptions {
  const reader = new OptionReader(options, [...Object.keys(OPTION_DEFAULTS), ...OTHER_NAMES]);
  const numbers = readNumbers(reader);
  checkRelations(reader, numbers);
  const resolved: ResolvedOptions = {
    ...numbers,
    ...readNullableNumbers(reader),
    ...readHostParts(reader, options),
    ...readGroups(reader, options),
  };
  if (reader.problems.length > 0) {
    throw new SyncError('options_invalid', {
      message: `the server options are invalid: ${reader.problems.join('; ')}`,
      details: { problems: Object.freeze([...reader.problems]) },
    });
  }
  warnAboutRowLimit(resolved);
  return Object.freeze(resolved);
}

function readNumbers(reader: OptionReader): NumericOptions {
  const numbers: Record<keyof NumericOptions, number> = { ...NUMERIC_DEFAULTS };
  for (const name of listKeys(NUMERIC_DEFAULTS)) {
    const min = MIN_BY_NAME.get(name) ?? (ZERO_ALLOWED.has(name) ? 0 : 1);
    numbers[name] = reader.integer(name, NUMERIC_DEFAULTS[name], min, INT32_MAX);
  }
  return numbers;
}

function listKeys<T extends object>(record: T): (keyof T & string)[] {
  const names: (keyof T & string)[] = [];
  for (const name in record) names.push(name);
  return names;
}

function readNullableNumbers(reader: OptionReader): NullableNumericOptions {
  const maxRowsPerBundle = reader.nullableInteger('maxRowsPerBundle', NULLABLE_DEFAULTS.maxRowsPerBundle, INT32_MAX);
  return {
    maxRowsPerBundle,
    maxBytesPerBundle: reader.nullableInteger('maxBytesPerBundle', NULLABLE_DEFAULTS.maxBytesPerBundle, INT32_MAX),
    maxPlannedRowsPerPush: reader.nullableInteger('maxPlannedRowsPerPush', maxRowsPerBundle, INT32_MAX),
    maxRowsPerSnapshotSession: reader.nullableInteger('maxRowsPerSnapshotSession', null),
    maxBytesPerSnapshotSession: reader.nullableInteger('maxBytesPerSnapshotSession', null),
    retainedBundlesPerScope: reader.nullableInteger('retainedBundlesPerScope', NULLABLE_DEFAULTS.retainedBundlesPerScope),
    retainedBundleAgeMs: reader.nullableInteger('retainedBundleAgeMs', null),
    retainedBundleBytesPerScope: reader.nullableInteger('retainedBundleBytesPerScope', null),
  };
}

function checkRelations(reader: OptionReader, numbers: NumericOptions): void {
  for (const [low, high] of DEFAULT_MAX_PAIRS) {
    if (numbers[low] > numbers[high]) reader.report(`${low} is above ${high}`);
  }
}

function readHostParts(reader: OptionReader, options: SyncServerOptions) {
  reader.require('database', 'object');
  reader.require('resolveActor', 'function');
  const tables: unknown = options.registeredTables;
  if (!Array.isArray(tables)) reader.report('registeredTables is not an array');
  return {
    database: options.database,
    listenDatabase: options.listenDatabase,
    resolveActor: options.resolveActor,
    registeredTables: Array.isArray(tables) ? Object.freeze(structuredClone(options.registeredTables)) : [],
    appName: reader.text('appName', ''),
    metadataSchema: readMetadataSchema(reader),
    bindSourcesToUser: reader.boolean('bindSourcesToUser', false),
    reservedSourceIds: readReservedSourceIds(reader, options.reservedSourceIds),
    adoption: reader.choice('adoption', ['auto', 'refuse']),
    bootstrapPolicy: reader.choice('bootstrapPolicy', ['apply', 'check']),
    onEvent: reader.optionalFunction('onEvent') ? options.onEvent : undefined,
    logger: createSafeLogger(options.logger ?? SILENT_LOGGER),
  };
}

function readMetadataSchema(reader: OptionReader): string {
  const schema = reader.text('metadataSchema', 'sync');
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(schema) || schema.startsWith('pg_')) {
    reader.report('metadataSchema is not a lower-case PostgreSQL schema name');
  }
  return schema;
}

function readReservedSourceIds(reader: OptionReader, value: unknown): ReadonlySet<string> {
  const ids = new Set<string>();
  if (value === undefined) return ids;
  if (!Array.isArray(value)) {
    reader.report('reservedSourceIds is not an array');
    return ids;
  }
  for (const id of value) {
    if (typeof id === 'string' && isSourceId(id)) ids.add(id);
    else reader.report('reservedSourceIds holds a value that is not a source id');
  }
  return ids;
}

function readGroups(reader: OptionReader, options: SyncServerOptions) {
  const compression = reader.group('compression', ['enabled', 'minBytes']);
  const retry = reader.group('retry', ['attempts', 'baseMs']);
  return {
    compression: {
      enabled: compression.boolean('enabled', COMPRESSION_DEFAULTS.enabled),
      minBytes: compression.integer('minBytes', COMPRESSION_DEFAULTS.minBytes, 0, INT32_MAX),
    },
    retry: {
      attempts: retry.integer('attempts', RETRY_DEFAULTS.attempts, 1, 100),
      baseMs: retry.integer('baseMs', RETRY_DEFAULTS.baseMs, 0, 60_000),
    },
    watch: readWatch(reader, options),
    maintenance: readMaintenance(reader),
    ops: readOps(reader, options),
  };
}

function readWatch(reader: OptionReader, options: SyncServerOptions): ResolvedOptions['watch'] {
  const watch = reader.group('watch', [...Object.keys(WATCH_DEFAULTS), 'authorize']);
  const notifyChannel = watch.text('notifyChannel', WATCH_DEFAULTS.notifyChannel);
  const channelBytes = new TextEncoder().encode(notifyChannel).byteLength;
  if (channelBytes < 1 || channelBytes > NOTIFY_CHANNEL_BYTES_MAX || notifyChannel.includes('\0')) {
    watch.report('notifyChannel has not 1 to 63 bytes without U+0000');
  }
  const integer = (
    name: 'heartbeatIntervalMs' | 'pollIntervalMs' | 'maxStreamMs' | 'maxStreamsPerScope' | 'maxStreamsPerProcess',
  ) => watch.integer(name, WATCH_DEFAULTS[name], 1, INT32_MAX);
  return {
    enabled: watch.boolean('enabled', WATCH_DEFAULTS.enabled),
    notifyChannel,
    heartbeatIntervalMs: integer('heartbeatIntervalMs'),
    pollIntervalMs: integer('pollIntervalMs'),
    notifyDebounceMs: watch.integer('notifyDebounceMs', WATCH_DEFAULTS.notifyDebounceMs, 0, INT32_MAX),
    maxStreamMs: integer('maxStreamMs'),
    maxStreamsPerScope: integer('maxStreamsPerScope'),
    maxStreamsPerProcess: integer('maxStreamsPerProcess'),
    authorize: watch.optionalFunction('authorize') ? options.watch?.authorize : undefined,
  };
}

function readMaintenance(reader: OptionReader): ResolvedOptions['maintenance'] {
  const group = reader.group('maintenance', Object.keys(MAINTENANCE_DEFAULTS));
  const { enabled, ...numbers } = MAINTENANCE_DEFAULTS;
  const resolved: Record<keyof typeof numbers, number> = { ...numbers };
  for (const name of listKeys(numbers)) resolved[name] = group.integer(name, numbers[name], 1, INT32_MAX);
  return { enabled: group.boolean('enabled', enabled), ...resolved };
}

function readOps(reader: OptionReader, options: SyncServerOptions): ResolvedOptions['ops'] {
  const ops = reader.group('ops', ['authorize', 'detail', 'metrics']);
  return {
    detail: ops.choice('detail', ['full', 'minimal']),
    authorize: ops.optionalFunction('authorize') ? options.ops?.authorize : undefined,
    metrics: ops.optionalFunction('metrics') ? options.ops?.metrics : undefined,
  };
}

function warnAboutRowLimit(options: ResolvedOptions): void {
  if (options.maxBytesPerSnapshotRow <= SNAPSHOT_ROW_BYTES_WARN) return;
  options.logger.warn('maxBytesPerSnapshotRow is above 4 MiB: clients with default settings refuse this server', {
    maxBytesPerSnapshotRow: options.maxBytesPerSnapshotRow,
  });
}
