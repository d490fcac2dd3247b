/** What a label can be; each has a small, closed set of values. Scopes, users, sources, keys and tokens are never labels. */
export type Label = 'operation' | 'status' | 'code' | 'kind' | 'phase' | 'reason' | 'violation' | 'limit' | 'sqlstate' | 'table';

/** One figure: what it counts, in which unit, and what it is split by. */
export interface Instrument {
  /** `counter` only grows, `histogram` keeps a distribution, `gauge` is the present value. */
  readonly kind: 'counter' | 'histogram' | 'gauge';
  /** Unit of UCUM: `s`, `By`, or what is counted in braces. */
  readonly unit: string;
  readonly description: string;
  readonly labels: readonly Label[];
  /** Upper bounds of a histogram, in the unit. */
  readonly bounds?: readonly number[];
}

/** Seconds: from a cached answer to the longest statement time-out. */
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
/** Bytes: from a control body to the largest chunk. */
const BYTES = [256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864];

/** All figures of the server. OpenTelemetry and Prometheus get the same ones, in the spelling of each. */
export const INSTRUMENTS = {
  'request.duration': {
    kind: 'histogram',
    unit: 's',
    description: 'Time from the arrival of a request to the last byte of its answer',
    labels: ['operation', 'status', 'code'],
    bounds: SECONDS,
  },
  'request.size': {
    kind: 'histogram',
    unit: 'By',
    description: 'Decoded bytes of a request body',
    labels: ['operation'],
    bounds: BYTES,
  },
  'response.size': {
    kind: 'histogram',
    unit: 'By',
    description: 'Bytes of an answer before compression',
    labels: ['operation'],
    bounds: BYTES,
  },
  'push.commits': { kind: 'counter', unit: '{commit}', description: 'Pushes committed', labels: [] },
  'push.commit.duration': {
    kind: 'histogram',
    unit: 's',
    description: 'Time of a commit by phase: waiting for the scope, applying rows, finalising the bundle',
    labels: ['phase'],
    bounds: SECONDS,
  },
  'push.rows': { kind: 'counter', unit: '{row}', description: 'Rows of committed bundles', labels: [] },
  'push.effects': { kind: 'counter', unit: '{row}', description: 'Committed rows that cascades and triggers added', labels: [] },
  'push.bytes': { kind: 'counter', unit: 'By', description: 'Canonical bytes of committed bundles', labels: [] },
  'push.rejections': {
    kind: 'counter',
    unit: '{push}',
    description: 'Pushes refused because of their content',
    labels: ['code', 'violation', 'limit'],
  },
  'push.conflicts': { kind: 'counter', unit: '{row}', description: 'Rows in conflict', labels: [] },
  'push.conflicted': { kind: 'counter', unit: '{push}', description: 'Pushes refused because of conflicts', labels: [] },
  'push.replays': {
    kind: 'counter',
    unit: '{replay}',
    description: 'Repeats answered from what was there: committed pushes, staged chunks',
    labels: ['kind'],
  },
  'read.pages': { kind: 'counter', unit: '{page}', description: 'Pages served', labels: ['kind'] },
  'read.bundles': { kind: 'counter', unit: '{bundle}', description: 'Bundles on served pages', labels: ['kind'] },
  'read.rows': { kind: 'counter', unit: '{row}', description: 'Rows on served pages', labels: ['kind'] },
  'read.bytes': { kind: 'counter', unit: 'By', description: 'Bytes of row texts on served pages', labels: ['kind'] },
  'read.duration': {
    kind: 'histogram',
    unit: 's',
    description: 'Time to serve a page',
    labels: ['kind'],
    bounds: SECONDS,
  },
  'history.refusals': {
    kind: 'counter',
    unit: '{request}',
    description: 'Requests for history that is pruned, or that does not exist yet',
    labels: ['operation', 'kind'],
  },
  'snapshot.operations': {
    kind: 'counter',
    unit: '{operation}',
    description: 'Images built, reused, read in chunks, or refused',
    labels: ['kind', 'code'],
  },
  'snapshot.duration': {
    kind: 'histogram',
    unit: 's',
    description: 'Time of a snapshot operation without its wait',
    labels: ['kind'],
    bounds: SECONDS,
  },
  'snapshot.queue.duration': {
    kind: 'histogram',
    unit: 's',
    description: 'Wait for a permit',
    labels: ['kind'],
    bounds: SECONDS,
  },
  'snapshot.rows': {
    kind: 'counter',
    unit: '{row}',
    description: 'Rows built into images, or served from them',
    labels: ['kind'],
  },
  'snapshot.bytes': { kind: 'counter', unit: 'By', description: 'Bytes of those rows', labels: ['kind'] },
  'source.events': {
    kind: 'counter',
    unit: '{source}',
    description: 'Sources retired, or refused as not the caller’s',
    labels: ['kind'],
  },
  'scope.initializations': { kind: 'counter', unit: '{scope}', description: 'Scopes that became initialized', labels: [] },
  'actor.refusals': {
    kind: 'counter',
    unit: '{request}',
    description: 'Answers of the host’s authentication that cannot be used',
    labels: ['reason'],
  },
  'watch.streams': { kind: 'gauge', unit: '{stream}', description: 'Open watch streams', labels: [] },
  'watch.closures': { kind: 'counter', unit: '{stream}', description: 'Watch streams that ended', labels: ['reason'] },
  'listener.listening': {
    kind: 'gauge',
    unit: '{listener}',
    description: '1 while notifications of the database arrive',
    labels: [],
  },
  'listener.losses': { kind: 'counter', unit: '{loss}', description: 'Times the notification connection was lost', labels: [] },
  'notifications.ignored': {
    kind: 'counter',
    unit: '{notification}',
    description: 'Notifications that were not ours',
    labels: [],
  },
  'database.faults': {
    kind: 'counter',
    unit: '{fault}',
    description: 'Faults of the database: tried again, given up, or with an unknown outcome of the commit',
    labels: ['kind', 'operation', 'sqlstate'],
  },
  'integrity.events': {
    kind: 'counter',
    unit: '{event}',
    description: 'Writes past the library refused, drift repaired, images that do not match',
    labels: ['kind', 'table'],
  },
  'maintenance.duration': {
    kind: 'histogram',
    unit: 's',
    description: 'Time of one kind of work in a maintenance run',
    labels: ['kind'],
    bounds: SECONDS,
  },
  'maintenance.rows': { kind: 'counter', unit: '{row}', description: 'Rows that maintenance touched', labels: ['kind'] },
  'catalog.changes': {
    kind: 'counter',
    unit: '{change}',
    description: 'Tables that changed, and migrations applied',
    labels: ['kind'],
  },
  'adoption.rows': { kind: 'counter', unit: '{row}', description: 'Rows taken over from before sync', labels: [] },
} as const satisfies Readonly<Record<string, Instrument>>;

/** Name of a figure. */
export type InstrumentName = keyof typeof INSTRUMENTS;

/** All names, in the order of the table. */
export function listInstruments(): readonly (readonly [InstrumentName, Instrument])[] {
  const names: InstrumentName[] = [];
  for (const name in INSTRUMENTS) if (isInstrumentName(name)) names.push(name);
  return names.map((name) => [name, INSTRUMENTS[name]]);
}

function isInstrumentName(name: string): name is InstrumentName {
  return Object.hasOwn(INSTRUMENTS, name);
}
