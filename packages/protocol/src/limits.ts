const KIB = 1024;
const MIB = 1024 * KIB;

/** Value of `protocol_version` in the capabilities that this contract uses; clients refuse every other text. */
export const PROTOCOL_VERSION = 'v1';

/** Name of the wire contract: RFC 8785 canonical JSON, every number of a business row spelled as a string. */
export const CONTRACT_ID = 'jcs_uniform_numeric_strings_v1';

/** Request header that names the source, on every `/sync/*` request. */
export const SOURCE_ID_HEADER = 'Oversync-Source-ID';

/** Response header with the whole seconds a caller should wait, on every 429 and on `service_unavailable`. */
export const RETRY_AFTER_HEADER = 'Retry-After';

/** Source ids with this prefix are written by the server when it takes over existing rows; clients may not use them. */
export const RESERVED_SOURCE_ID_PREFIX = 'oversync-adoption:';

/** Hidden tenant column of every registered PostgreSQL table; it never appears on the wire. */
export const SCOPE_COLUMN = '_sync_scope_id';

/** Bounds that the contract fixes: no option changes them. Units are in the names. */
export const LIMITS = {
  /** Largest value of a limit that old clients read into 32 bits. */
  int32Max: 2_147_483_647,
  /** Length of a source id; the grammar is ASCII, so bytes and characters are the same. */
  sourceIdBytesMax: 256,
  /** Nesting of a request body that a server accepts unless it is configured otherwise. */
  requestJsonDepthMax: 100,
  /** Nesting of a response body that a client accepts. */
  responseJsonDepthMax: 128,
  /** Old clients stop reading an error body here, so a server never sends more (a conflict with a large row excepted). */
  errorBodyBytesMax: 64 * KIB,
  /** What a client reads of the capabilities. */
  capabilitiesBodyBytesMax: 4 * MIB,
  /** What a client reads of a reply that holds no rows. */
  controlBodyBytesMax: 64 * KIB,
  /** A snapshot chunk may exceed the requested bytes by one byte per row and this envelope. */
  snapshotEnvelopeBytesMax: 64 * KIB,
  /** One line of an event stream, terminator not counted. */
  sseLineBytesMax: MIB,
  /** All `data:` text of one event of a stream. */
  sseEventBytesMax: MIB,
  /** Sending a smaller response compressed costs more than it saves. */
  compressionBytesMin: 1024,
} as const;

/** Defaults that servers advertise and clients assume; the names are those of the server options. */
export const DEFAULTS = {
  maxRowsPerBundle: 1_000_000,
  maxBytesPerBundle: 256 * MIB,
  defaultBundlesPerPull: 1000,
  maxBundlesPerPull: 5000,
  defaultRowsPerPushChunk: 1000,
  maxRowsPerPushChunk: 5000,
  /** Decoded and, separately, encoded body of a chunk upload. */
  maxBytesPerPushChunk: 64 * MIB,
  maxControlBodyBytes: 64 * KIB,
  pushSessionTtlMs: 900_000,
  defaultRowsPerCommittedBundleChunk: 1000,
  maxRowsPerCommittedBundleChunk: 5000,
  maxBytesPerCommittedBundleChunk: 8 * MIB,
  maxBytesPerPullPage: 8 * MIB,
  defaultRowsPerSnapshotChunk: 1000,
  maxRowsPerSnapshotChunk: 5000,
  defaultBytesPerSnapshotChunk: 4 * MIB,
  maxBytesPerSnapshotChunk: 16 * MIB,
  maxBytesPerSnapshotRow: 4 * MIB,
  snapshotSessionTtlMs: 900_000,
  snapshotBatchRows: 512,
  snapshotBatchBytes: 4 * MIB,
  maxConcurrentSnapshotBuilds: 8,
  maxConcurrentSnapshotChunkRequests: 4,
  maxSnapshotSessionsPerScope: 32,
  maxSnapshotSessionsPerSource: 2,
  maxPushSessionsPerScope: 64,
  initializationLeaseTtlMs: 900_000,
  maxStreamsPerScope: 32,
  maxStreamsPerProcess: 10_000,
  heartbeatIntervalMs: 25_000,
  scopeQueueLength: 16,
  lockTimeoutMs: 10_000,
  /** Sent where a 429 has no better estimate. */
  retryAfterSeconds: 1,
} as const;
