import { createSha256 } from '@oversync/protocol';
import type { Sha256Factory } from '@oversync/protocol';

import { gzipWithCompressionStream } from '../http/exchange.ts';
import type { AcceptEncoding, HeadersProvider } from '../http/exchange.ts';
import type { ChangeChannel } from '../ports/channel.ts';
import { systemClock, systemRandom } from '../ports/clock.ts';
import type { Clock, Random } from '../ports/clock.ts';
import { platformConnectivity } from '../ports/connectivity.ts';
import type { Connectivity } from '../ports/connectivity.ts';
import type { FaultPoints } from '../ports/fault-points.ts';
import { SNAPSHOT_FILE_CHUNK_ROWS } from '../limits.ts';
import type { OwnershipLock } from '../ports/lock.ts';
import type { Logger } from '../ports/logger.ts';
import type { PlatformPorts } from '../ports/platform.ts';
import type { SqliteDriver } from '../ports/sqlite-driver.ts';
import type { GzipBytes, HttpTransport } from '../ports/transport.ts';
import { platformVisibility } from '../ports/visibility.ts';
import type { Visibility } from '../ports/visibility.ts';
import type { Resolver } from '../rules/conflict-types.ts';
import type { LocalPragmas, LocalSchemaConfig, TableConfig } from '../rules/local-schema.ts';
import {
  OPTION_NAMES,
  checkKnownNames,
  checkOption,
  resolveBaseUrl,
  resolveCapacityPolicy,
  resolveChoice,
  resolveNumbers,
  resolveRetryPolicy,
} from '../rules/options.ts';
import type { NumberOptions } from '../rules/options.ts';
import type { CapacityRetryPolicy, RetryPolicy } from '../rules/retry.ts';
import { checkTableOptions } from '../rules/table-options.ts';
import type { ConflictSummary, QuarantineRef } from '../store/store-types.ts';
import { resolveLoopOptions } from './automatic/resolve-loop-options.ts';
import type { AutomaticOptions } from './automatic/resolve-loop-options.ts';

/** Connections to the platform. Each has a default that works in browsers and Node. */
export interface ClientPorts {
  readonly http?: HttpTransport;
  readonly gzip?: GzipBytes;
  /** Keeps other processes and tabs out; default: what the driver offers, else the registry of this process alone. */
  readonly lock?: OwnershipLock;
  readonly clock?: Clock;
  readonly random?: Random;
  /** An incremental SHA-256; the default is pure JavaScript, a native one is faster. */
  readonly sha256?: Sha256Factory;
  readonly logger?: Logger;
  /** For tests: called around every durable step. Default: none, at no cost. */
  readonly faultPoints?: FaultPoints;
  /** Whether a network is there; the background loop rests without one. */
  readonly connectivity?: Connectivity;
  /** Whether somebody looks; the background loop rests a while after nobody does. */
  readonly visibility?: Visibility;
  /** Carries table changes to other tabs. Default: none. */
  readonly channel?: ChangeChannel;
}

/** Options of `createSyncClient`. Durations end in `Ms`, sizes in `Bytes`; every number has a default (client.md 2.1). */
export interface SyncClientOptions<Name extends string = string> extends Partial<NumberOptions> {
  readonly driver: SqliteDriver;
  /** Where `/sync/…` is mounted; a path prefix is kept, a slash at its end does not matter. */
  readonly baseUrl: string | URL;
  /** Credentials, asked for before every request, and once more with `refresh: true` after a 401. */
  readonly headers: HeadersProvider;
  /** The one server schema of all managed tables. */
  readonly schema: string;
  readonly tables: readonly TableConfig<Name>[];
  /** Conflict policy of tables without one of their own. Default: the server wins. */
  readonly resolver?: Resolver;
  /** `rebase` keeps unsent rows while newer server rows arrive; `reject` refuses to pull while rows are unsent. */
  readonly pullWithPending?: 'rebase' | 'reject';
  /** `reject` makes the application's writes fail during a remote replacement or source recovery. */
  readonly transitionWrites?: 'capture' | 'reject';
  /** What to do when the server has forgotten the scope. */
  readonly onScopeLost?: 'fail' | 'reseed';
  /**
   * Where a snapshot waits until all of it is there. `file`: in a file beside the database, if the driver can, which takes half the time
   * and never lets the database grow beyond what it has to hold; a download that a kill has interrupted begins anew. `database`: inside
   * the database, where such a download goes on. Default: `file`.
   */
  readonly snapshotStage?: 'file' | 'database';
  /**
   * Whether the server may compress its answers. `identity` saves a seventh to a quarter of the time of a first sync where bytes
   * cost nothing: a server on the same machine or in the local network. Browsers decide by themselves. Default: `gzip`.
   */
  readonly acceptEncoding?: AcceptEncoding;
  /** Called after rows were set aside, with what and why; also by the background loop. Must not throw; what it throws is logged. */
  readonly onRejected?: (rows: readonly QuarantineRef[]) => void;
  /** Called after conflicts were resolved, with how. As `onRejected`. */
  readonly onConflict?: (conflicts: readonly ConflictSummary[]) => void;
  readonly retryPolicy?: Partial<RetryPolicy>;
  readonly snapshotCapacityRetryPolicy?: Partial<CapacityRetryPolicy>;
  readonly pragmas?: Partial<LocalPragmas>;
  /** `wait`: `open()` waits until the present owner of the database ends. */
  readonly ownership?: 'reject' | 'wait';
  /** Defaults of `start`. */
  readonly automatic?: AutomaticOptions;
  readonly ports?: ClientPorts;
}

/** Ports that have no default. */
type OptionalPort = 'lock' | 'channel' | 'faultPoints';

/** Options after validation, every default filled in. */
export interface ResolvedOptions extends NumberOptions {
  readonly driver: SqliteDriver;
  readonly baseUrl: URL;
  readonly headers: HeadersProvider;
  readonly local: LocalSchemaConfig;
  readonly resolver: Resolver | null;
  readonly pullWithPending: 'rebase' | 'reject';
  readonly onScopeLost: 'fail' | 'reseed';
  readonly snapshotStage: 'file' | 'database';
  readonly acceptEncoding: AcceptEncoding;
  readonly ownership: 'reject' | 'wait';
  readonly onRejected: ((rows: readonly QuarantineRef[]) => void) | null;
  readonly onConflict: ((conflicts: readonly ConflictSummary[]) => void) | null;
  readonly retryPolicy: RetryPolicy;
  readonly capacityRetryPolicy: CapacityRetryPolicy;
  readonly automatic: AutomaticOptions;
  readonly ports: Required<Omit<ClientPorts, OptionalPort>> & Pick<ClientPorts, OptionalPort>;
}

const PORT_NAMES: ReadonlySet<string> = new Set([
  'http',
  'gzip',
  'lock',
  'clock',
  'random',
  'sha256',
  'logger',
  'faultPoints',
  'connectivity',
  'visibility',
  'channel',
]);

/** Validates names, types and ranges. Throws `config_invalid` with the name of the option; has no other effect. */
export function resolveOptions(options: SyncClientOptions): ResolvedOptions {
  checkOption(typeof options === 'object' && options !== null, 'options');
  checkKnownNames(options, OPTION_NAMES);
  checkOption(typeof options.driver?.transaction === 'function', 'driver');
  checkOption(typeof options.headers === 'function', 'headers');
  checkOption(typeof options.schema === 'string', 'schema');
  checkTableOptions(options.tables);
  checkOption(options.resolver === undefined || typeof options.resolver === 'function', 'resolver');
  checkOption(options.onRejected === undefined || typeof options.onRejected === 'function', 'onRejected');
  checkOption(options.onConflict === undefined || typeof options.onConflict === 'function', 'onConflict');
  const { automatic = {} } = options;
  resolveLoopOptions(automatic);
  const transitionWrites = resolveChoice(options.transitionWrites, ['capture', 'reject'], 'transitionWrites');
  const numbers = resolveNumbers(options);
  const snapshotStage = resolveChoice(options.snapshotStage, ['file', 'database'], 'snapshotStage');
  return {
    ...numbers,
    ...chunkRows(options, snapshotStage),
    driver: options.driver,
    baseUrl: resolveBaseUrl(options.baseUrl),
    headers: options.headers,
    local: {
      schema: options.schema,
      tables: options.tables,
      transitionWrites,
      outcomeLimit: numbers.outcomeLimit,
      ...(options.resolver === undefined ? {} : { resolver: options.resolver }),
      ...(options.pragmas === undefined ? {} : { pragmas: options.pragmas }),
    },
    resolver: options.resolver ?? null,
    onRejected: options.onRejected ?? null,
    onConflict: options.onConflict ?? null,
    pullWithPending: resolveChoice(options.pullWithPending, ['rebase', 'reject'], 'pullWithPending'),
    onScopeLost: resolveChoice(options.onScopeLost, ['fail', 'reseed'], 'onScopeLost'),
    snapshotStage,
    acceptEncoding: resolveChoice(options.acceptEncoding, ['gzip', 'identity'], 'acceptEncoding'),
    ownership: resolveChoice(options.ownership, ['reject', 'wait'], 'ownership'),
    retryPolicy: resolveRetryPolicy(options.retryPolicy),
    capacityRetryPolicy: resolveCapacityPolicy(options.snapshotCapacityRetryPolicy),
    automatic,
    ports: resolvePorts(options.ports ?? {}, options.driver.platform ?? {}),
  };
}

/** Chunks that are never held whole may be larger. */
function chunkRows({ snapshotChunkRows, driver }: SyncClientOptions, stage: 'file' | 'database'): Partial<NumberOptions> {
  const isInFile = stage === 'file' && driver.platform?.stageFile !== undefined;
  return isInFile && snapshotChunkRows === undefined ? { snapshotChunkRows: SNAPSHOT_FILE_CHUNK_ROWS } : {};
}

function resolvePorts(ports: ClientPorts, platform: PlatformPorts): ResolvedOptions['ports'] {
  checkKnownNames(ports, PORT_NAMES, 'ports.');
  const lock = ports.lock ?? platform.lock;
  return {
    http: ports.http ?? ((request) => globalThis.fetch(request)),
    gzip: ports.gzip ?? platform.gzip ?? gzipWithCompressionStream,
    clock: ports.clock ?? systemClock,
    random: ports.random ?? systemRandom,
    sha256: ports.sha256 ?? platform.sha256 ?? createSha256,
    logger: ports.logger ?? (() => undefined),
    connectivity: ports.connectivity ?? platformConnectivity(),
    visibility: ports.visibility ?? platformVisibility(),
    ...(ports.channel === undefined ? {} : { channel: ports.channel }),
    ...(ports.faultPoints === undefined ? {} : { faultPoints: ports.faultPoints }),
    ...(lock === undefined ? {} : { lock }),
  };
}
