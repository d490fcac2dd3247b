/**
 * Every limit, time-out and retry of the server, with its unit and the reason for its value. Options override the ones that
 * a host may want to change; the rest are properties of the protocol or of PostgreSQL.
 */

const KIB = 1024;
const MIB = 1024 * KIB;

/** Default values of the numeric options that are always on, by option name. */
export const NUMERIC_DEFAULTS = {
  /** Schema version that capabilities announce; the host raises it when its tables change. */
  schemaVersion: 1,
  /** Bytes. Keeps the scope id inside one index tuple of every metadata table with room to spare. */
  maxScopeIdBytes: 255,
  /** Bytes as received. A push chunk of 5,000 wide rows stays far below it. */
  maxRequestBodyBytes: 64 * MIB,
  /** Bytes after inflating; the only defence against a small body that inflates without end. */
  maxDecodedBodyBytes: 64 * MIB,
  /** Bytes. Every other request body holds a few scalars. */
  maxControlBodyBytes: 64 * KIB,
  /** Levels. The reader recurses per level, so this bounds its stack. */
  maxJsonDepth: 100,
  /** Bytes over all requests of the process: what slow clients together may pin. */
  maxBufferedResponseBytes: 64 * MIB,
  /** Rows; what clients use unless they ask otherwise. */
  defaultRowsPerPushChunk: 1000,
  /** Rows; a chunk is parsed at once and blocks the loop for tens of milliseconds at this size. */
  maxRowsPerPushChunk: 5000,
  /** Milliseconds; a client that uploads renews it with every chunk. */
  pushSessionTtlMs: 900_000,
  /** Sessions of one scope; one per source, so this many devices push at once. */
  maxPushSessionsPerScope: 64,
  /** Milliseconds that one source may take to seed an empty scope. */
  initializationLeaseTtlMs: 900_000,
  /** Rows. */
  defaultRowsPerCommittedBundleChunk: 1000,
  /** Rows. */
  maxRowsPerCommittedBundleChunk: 5000,
  /** Bytes of row text in one page; one row always fits. */
  maxBytesPerCommittedBundleChunk: 8 * MIB,
  /** Bytes of row text in one page; one bundle always fits. */
  maxBytesPerPullPage: 8 * MIB,
  /** Bundles. */
  defaultBundlesPerPull: 1000,
  /** Bundles. */
  maxBundlesPerPull: 5000,
  /** Rows. */
  defaultRowsPerSnapshotChunk: 1000,
  /** Rows. */
  maxRowsPerSnapshotChunk: 5000,
  /** Bytes. */
  defaultBytesPerSnapshotChunk: 4 * MIB,
  /** Bytes. */
  maxBytesPerSnapshotChunk: 16 * MIB,
  /** Bytes of the wire form of one row; clients with default settings refuse a server that announces more. */
  maxBytesPerSnapshotRow: 4 * MIB,
  /** Milliseconds, fixed at creation. */
  snapshotSessionTtlMs: 900_000,
  /** Rows announced as the materialisation hint. */
  snapshotBatchRows: 512,
  /** Bytes announced as the materialisation hint. */
  snapshotBatchBytes: 4 * MIB,
  /** Builds at once per process; each sorts and writes a whole scope. */
  maxConcurrentSnapshotBuilds: 8,
  /** Chunk reads at once per process; each may hold a full chunk in memory. */
  maxConcurrentSnapshotChunkRequests: 4,
  /** Milliseconds that a request waits for one of those permits before the 429. */
  snapshotQueueWaitMs: 2000,
  /** Live sessions of one scope. */
  maxSnapshotSessionsPerScope: 32,
  /** Live sessions of one source; a third one retires the oldest. */
  maxSnapshotSessionsPerSource: 2,
  /** Milliseconds; twenty-four hours covers a client that retries the next day. */
  writeReceiptRetentionMs: 86_400_000,
  /** Bundles that one commit or maintenance run may move the floor by. */
  retentionPruneBatchSize: 1000,
  /** Writers of one scope waiting in this process; more of them only wait in vain. */
  scopeQueueLength: 16,
  /** Milliseconds of queue and lock waits that one request may spend in all its attempts together. */
  lockTimeoutMs: 10_000,
  /** Milliseconds for an ordinary statement. */
  statementTimeoutMs: 30_000,
  /** Milliseconds for commit, snapshot build, adoption and server writes. */
  bulkStatementTimeoutMs: 300_000,
  /** Milliseconds between two reads of the catalog. */
  catalogRefreshIntervalMs: 60_000,
} as const;

/** Default values of the numeric options that `null` switches off and that are on unless it does. */
export const NULLABLE_DEFAULTS = {
  /** Rows of one committed bundle. */
  maxRowsPerBundle: 1_000_000,
  /** Canonical bytes of one committed bundle; its hash holds copies of the text inside PostgreSQL. */
  maxBytesPerBundle: 256 * MIB,
  /** Bundles kept above the floor. */
  retainedBundlesPerScope: 10_000,
} as const;

/** Both together. */
export const OPTION_DEFAULTS = { ...NUMERIC_DEFAULTS, ...NULLABLE_DEFAULTS } as const;

/** Attempts and first pause (milliseconds) after a transient fault; the pause doubles with full jitter. */
export const RETRY_DEFAULTS = { attempts: 3, baseMs: 25 } as const;

/** Below this many bytes gzip costs more than it saves. */
export const COMPRESSION_DEFAULTS = { enabled: true, minBytes: 1024 } as const;

export const WATCH_DEFAULTS = {
  enabled: false,
  notifyChannel: 'oversync_bundle_change_v1',
  /** Milliseconds; below the idle time-outs of common proxies. */
  heartbeatIntervalMs: 25_000,
  /** Milliseconds; also the worst delay of a lost notification. */
  pollIntervalMs: 15_000,
  /** Milliseconds in which further commits of one scope are merged into one notification. */
  notifyDebounceMs: 20,
  /** Milliseconds; an hour lets a deployment drain without cutting everybody at once. */
  maxStreamMs: 3_600_000,
  maxStreamsPerScope: 32,
  maxStreamsPerProcess: 10_000,
} as const;

export const MAINTENANCE_DEFAULTS = {
  enabled: true,
  /** Milliseconds between two runs. */
  intervalMs: 60_000,
  /** Rows deleted by one transaction. */
  batchRows: 5000,
  /** Sessions retired by one transaction. */
  batchSessions: 32,
  maxBatchesPerRun: 8,
  /** Milliseconds of `statement_timeout` for one batch. */
  batchTimeoutMs: 5000,
  /** Idle scopes looked at by one run. */
  scopesPerRun: 100,
} as const;

/** Largest value of the limits that the contract sends as 32-bit integers. */
export const INT32_MAX = 2_147_483_647;

/** Bytes; PostgreSQL truncates longer channel names. */
export const NOTIFY_CHANNEL_BYTES_MAX = 63;

/** Milliseconds; what a client is told to wait after a transient fault. */
export const RETRY_AFTER_MS = 1000;

/** Milliseconds of one connection check for health. */
export const HEALTH_TIMEOUT_MS = 2000;

/** Milliseconds since PostgreSQL's last answer to anybody, up to which a busy pool counts as healthy. */
export const HEALTH_SILENCE_MS = 10_000;

/** Milliseconds for which one connection check is reused. */
export const HEALTH_CACHE_MS = 1000;

/** Milliseconds that `close` waits for running operations unless told otherwise. */
export const CLOSE_TIMEOUT_MS = 30_000;

/** Milliseconds more for a commit whose COMMIT has been sent. */
export const CLOSE_COMMIT_GRACE_MS = 5000;

/** Memory for sorts and hashes of one bulk transaction; larger scopes spill to disk. */
export const BULK_WORK_MEM = '64MB';

/** Bytes of an error body that every client reads. */
export const ERROR_BODY_BYTES_MAX = 65_536;

/** Rows; up to here one statement with a JSON parameter stages a chunk in fewer round trips than COPY. */
export const SMALL_CHUNK_ROWS_MAX = 200;

/** UTF-16 units of canonical text; a larger chunk goes through COPY whatever its row count, so that no statement text is huge. */
export const SMALL_CHUNK_LENGTH_MAX = 1_048_576;

/** Bytes; a body up to this size is parsed at once, as most such chunks are small. Any other is read in place where it can be. */
export const PARSED_CHUNK_BYTES_MAX = 64 * KIB;

/** Pieces of 128 KiB that wait for the next chunk: what one of 5,000 rows needs. */
export const PIECES_KEPT_MAX = 64;

/** Staged bytes above which the request hash is computed outside PostgreSQL, which would hold several copies of the text. */
export const SQL_HASH_BYTES_MAX = 64 * MIB;

/** Statements of one apply; each distinct set of columns needs its own, and a push cannot be made of nothing but distinct ones. */
export const APPLY_STATEMENTS_MAX = 2000;

/** Conflicts that are looked at for an error body; more of them would not fit into it. */
export const LISTED_CONFLICTS_MAX = 512;

/** Staged rows that are made again at a time after a table changed during a push. */
export const REBUILD_ROWS_MAX = 1000;

/** Milliseconds before a lost LISTEN connection is made again; doubles up to {@link LISTENER_RECONNECT_MAX_MS}. */
export const LISTENER_RECONNECT_MIN_MS = 100;
/** Longest such pause. */
export const LISTENER_RECONNECT_MAX_MS = 2000;

/** Milliseconds that a maintenance batch waits for a lock: less than PostgreSQL's deadlock time-out, so that it never costs a request. */
export const MAINTENANCE_LOCK_TIMEOUT_MS = 100;

/** Milliseconds after which captured keys without a transaction are taken for left-overs. */
export const CAPTURE_ORPHAN_AGE_MS = 3_600_000;

/** Requests whose events wait for their end to become spans; beyond, the oldest are forgotten. Far above what one process serves. */
export const SPAN_PENDING_REQUESTS_MAX = 10_000;

/** Events kept for the span of one request, so that one that is tried again and again does not fill the memory. */
export const SPAN_EVENTS_PER_REQUEST_MAX = 64;

/** UTF-16 units of the text by which a server write is recognised; a digest in any common form fits. */
export const OPERATION_HASH_LENGTH_MAX = 256;

/**
 * Bundles by which `invalidateHistory` raises the head: more than any scope commits between a backup and its restore, so that every
 * checkpoint of the lost history lies below the new floor.
 */
export const HISTORY_GAP = 1_000_000n;

/** Keys that `checkScope` names per table and kind of difference. */
export const SCOPE_CHECK_EXAMPLES_MAX = 20;

/** Sessions whose request hash a process keeps while their chunks pass; the least recently used one is hashed by PostgreSQL instead. */
export const RUNNING_HASHES_MAX = 1024;

/** Milliseconds for which small pushes go the ordinary way after PostgreSQL did not find their functions: each trial is an ERROR in its log. */
export const LACKING_FUNCTIONS_PAUSE_MS = 60_000;

/** Small pushes between upload and commit whose shape a process remembers; others are committed in more round trips. */
export const REMEMBERED_PUSHES_MAX = 1024;

/** Scopes whose number a process remembers, some 200 bytes each; others take a round trip more. */
export const REMEMBERED_SCOPES_MAX = 10_000;

/** Exponent of a pushed decimal: a few characters more would make 131,072 digits in every copy of the row. */
export const DECIMAL_EXPONENT_MAX = 1000;

/** Characters of a schema, table or column name in an error body; PostgreSQL cuts longer names, so a longer one is none of ours. */
export const ECHOED_NAME_LENGTH_MAX = 63;

/** Characters of a key in an error body, which old clients read up to 64 KiB. */
export const ECHOED_KEY_LENGTH_MAX = 4096;

/** Rows of a refused push whose apply is repeated to find the row at fault; the scope stays locked meanwhile. */
export const REPLAYED_ROWS_MAX = 100_000;

/** Ranges of one verification request: a device narrows at most this many differences at once. */
export const VERIFY_RANGES_MAX = 64;

/** Parts that each of them may be cut into. */
export const VERIFY_PARTS_MAX = 64;

/** Keys that a verification leaves out because the device has unsent changes of them; more of them should be pushed first. */
export const VERIFY_EXCLUDED_KEYS_MAX = 5000;

/** Rows of one page of a range. */
export const VERIFY_ROWS_MAX = 1000;

/** Bytes of row text of one page of a range; one row more always fits. */
export const VERIFY_PAGE_BYTES = MIB;
