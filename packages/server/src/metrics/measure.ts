import type { ServerEvent } from '../engine/events.ts';
import type { InstrumentName, Label } from './instruments.ts';

/** One value for one figure. A counter grows by it, a histogram records it, a gauge is set to it. */
export interface Measurement {
  readonly name: InstrumentName;
  readonly value: number;
  readonly labels: Readonly<Partial<Record<Label, string>>>;
}

type Labels = Measurement['labels'];
/** Events that can have the name; several names may share one shape. */
type EventOf<Name extends ServerEvent['name'], Event = ServerEvent> = Event extends { readonly name: infer Own }
  ? [Extract<Own, Name>] extends [never]
    ? never
    : Event
  : never;

/** Pure: what one event adds to the figures. An event that this function does not know does not compile. */
export function measureEvent(event: ServerEvent): readonly Measurement[] {
  switch (event.name) {
    case 'request':
      return measureRequest(event);
    case 'pushCommitted':
      return measureCommit(event);
    case 'pushRejected':
      return [
        count('push.rejections', {
          code: event.code,
          ...optional('violation', event.violationKind),
          ...optional('limit', event.limit),
        }),
      ];
    case 'pushConflict':
      return [count('push.conflicted'), measurement('push.conflicts', event.count)];
    case 'pushReplayed':
      return [count('push.replays', { kind: 'push' })];
    case 'chunkReplayed':
      return [count('push.replays', { kind: 'chunk' })];
    case 'pullPage':
      return measurePage(event, { kind: 'pull' });
    case 'committedRowsPage':
      return measurePage(event, { kind: 'committed_rows' });
    case 'historyPruned':
      return [count('history.refusals', { operation: event.operation, kind: 'pruned' })];
    case 'checkpointAhead':
      return [count('history.refusals', { operation: event.operation, kind: 'ahead' })];
    case 'snapshotBuilt':
      return measureSnapshot(event, 'built');
    case 'snapshotReused':
      return measureSnapshot(event, 'reused');
    case 'snapshotChunk':
      return measureSnapshot(event, 'chunk');
    case 'snapshotRejected':
      return [count('snapshot.operations', { kind: 'rejected', ...optional('code', event.code) })];
    default:
      return measureOperations(event);
  }
}

type OtherEvent = Exclude<
  ServerEvent,
  EventOf<
    | 'request'
    | 'pushCommitted'
    | 'pushRejected'
    | 'pushConflict'
    | 'pushReplayed'
    | 'pullPage'
    | 'historyPruned'
    | 'snapshotBuilt'
  >
>;

/** Events that are not about one push, page or image. */
function measureOperations(event: OtherEvent): readonly Measurement[] {
  switch (event.name) {
    case 'sourceRetired':
      return [count('source.events', { kind: 'retired' })];
    case 'sourceForbidden':
      return [count('source.events', { kind: 'forbidden' })];
    case 'scopeInitialized':
      return [count('scope.initializations')];
    case 'actorRefused':
      return [count('actor.refusals', { reason: event.reason })];
    case 'watchOpened':
      return [measurement('watch.streams', event.streams)];
    case 'watchClosed':
      return [measurement('watch.streams', event.streams), count('watch.closures', optional('reason', event.reason))];
    case 'listenerState':
      return measureListener(event.state === 'listening');
    case 'notificationIgnored':
      return [count('notifications.ignored')];
    case 'retry':
    case 'transientFailure':
    case 'commitOutcomeUnknown':
      return [
        count('database.faults', {
          kind: FAULT_KINDS[event.name],
          operation: event.operation,
          ...optional('sqlstate', event.sqlState),
        }),
      ];
    case 'registeredWriteRejected':
      return [measurement('integrity.events', event.count, { kind: INTEGRITY_KINDS[event.name] })];
    case 'driftRepaired':
    case 'integrityMismatch':
      return [count('integrity.events', { kind: INTEGRITY_KINDS[event.name], ...optional('table', formatTable(event)) })];
    case 'maintenanceRun':
      return [
        measurement('maintenance.duration', toSeconds(event.durationMs), { kind: event.kind }),
        measurement('maintenance.rows', event.rows, { kind: event.kind }),
      ];
    case 'catalogChanged':
      return [count('catalog.changes', { kind: 'table' })];
    case 'migrationApplied':
      return [count('catalog.changes', { kind: 'migration' })];
    case 'adoptionProgress':
      return [measurement('adoption.rows', event.rows ?? 0)];
  }
}

const FAULT_KINDS = { retry: 'retried', transientFailure: 'given_up', commitOutcomeUnknown: 'outcome_unknown' } as const;
const INTEGRITY_KINDS = {
  registeredWriteRejected: 'write_rejected',
  driftRepaired: 'drift_repaired',
  integrityMismatch: 'mismatch',
} as const;

function measureRequest(event: EventOf<'request'>): readonly Measurement[] {
  const { operation } = event;
  const labels = { operation, status: String(event.status), ...optional('code', event.code) };
  return [
    measurement('request.duration', toSeconds(event.durationMs), labels),
    measurement('request.size', event.bytesIn, { operation }),
    measurement('response.size', event.bytesOut, { operation }),
  ];
}

function measureCommit(event: EventOf<'pushCommitted'>): readonly Measurement[] {
  return [
    count('push.commits'),
    measurement('push.rows', event.rows),
    measurement('push.effects', event.effects),
    measurement('push.bytes', event.bytes),
    measurement('push.commit.duration', toSeconds(event.lockWaitMs), { phase: 'lock_wait' }),
    measurement('push.commit.duration', toSeconds(event.applyMs), { phase: 'apply' }),
    measurement('push.commit.duration', toSeconds(event.finaliseMs), { phase: 'finalise' }),
  ];
}

function measurePage(event: EventOf<'pullPage' | 'committedRowsPage'>, labels: Labels): readonly Measurement[] {
  return [
    count('read.pages', labels),
    measurement('read.bundles', event.bundles, labels),
    measurement('read.rows', event.rows, labels),
    measurement('read.bytes', event.bytes, labels),
    measurement('read.duration', toSeconds(event.durationMs), labels),
  ];
}

function measureSnapshot(event: EventOf<'snapshotBuilt'>, kind: 'built' | 'reused' | 'chunk'): readonly Measurement[] {
  const labels = { kind };
  const operation = [
    count('snapshot.operations', labels),
    measurement('snapshot.duration', toSeconds(event.durationMs), labels),
    measurement('snapshot.queue.duration', toSeconds(event.queueMs), labels),
  ];
  // A reused image was counted when it was built.
  if (kind === 'reused') return operation;
  return [
    ...operation,
    measurement('snapshot.rows', event.rows, labels),
    measurement('snapshot.bytes', Number(event.bytes), labels),
  ];
}

function measureListener(isListening: boolean): readonly Measurement[] {
  const state = measurement('listener.listening', isListening ? 1 : 0);
  return isListening ? [state] : [state, count('listener.losses')];
}

function formatTable(event: { readonly schema?: string; readonly table?: string }): string | undefined {
  if (event.table === undefined) return undefined;
  return event.schema === undefined ? event.table : `${event.schema}.${event.table}`;
}

function measurement(name: InstrumentName, value: number, labels: Labels = {}): Measurement {
  return { name, value, labels };
}

function count(name: InstrumentName, labels: Labels = {}): Measurement {
  return measurement(name, 1, labels);
}

function optional(name: Label, value: string | undefined): Labels {
  return value === undefined ? {} : { [name]: value };
}

function toSeconds(durationMs: number): number {
  return durationMs / 1000;
}
