/** Every number that bounds the client, with its unit and its reason. Options of `createSyncClient` override those marked (option). */

/** (option) Rows of one push chunk: enough that the round trip and the durable write of a chunk cost less than its rows. */
export const UPLOAD_CHUNK_ROWS = 1000;
/** (option) Encoded bytes of one push chunk: a chunk is held in memory once as text and once as bytes. */
export const UPLOAD_CHUNK_BYTES = 4 * 1024 * 1024;
/** Chunks in a row that were sent ahead in vain, after which a push goes on one by one: its requests reach different processes. */
export const CHUNKS_AHEAD_MISSES_MAX = 2;
/** (option) Rows after which one frozen bundle ends softly. */
export const PUSH_ROWS_MAX = 10_000;
/** (option) Wire bytes after which one frozen bundle ends softly. */
export const PUSH_BYTES_MAX = 16 * 1024 * 1024;
/** (option) Bundles of a pull page and rows of a committed-rows page. */
export const DOWNLOAD_LIMIT = 1000;
/** (option) Rows of one snapshot chunk. */
export const SNAPSHOT_CHUNK_ROWS = 1000;
/** The same where rows are staged as they arrive: fewer requests, and memory holds {@link STAGE_PAGE_ROWS} of them. */
export const SNAPSHOT_FILE_CHUNK_ROWS = 5000;
/** Rows of a snapshot that are held before they are written to the stage file: longer-lived garbage costs tens of megabytes. */
export const STAGE_PAGE_ROWS = 200;
/**
 * The next chunk is asked for when this part of one has been read (1/n): early enough that the server has answered when its turn comes,
 * late enough that a slow device does not hold two places at the server all the time.
 */
export const CHUNK_AHEAD_DIVISOR = 2;
/** (option) Bytes of one snapshot chunk. */
export const SNAPSHOT_CHUNK_BYTES = 4 * 1024 * 1024;
/** (option) Staged rows applied by one statement. */
export const SNAPSHOT_APPLY_BATCH_ROWS = 256;
/** (option) Staged bytes applied by one statement; also the largest single row that a rebuild accepts. */
export const SNAPSHOT_APPLY_BATCH_BYTES = 4 * 1024 * 1024;
/** (option) Rows of one set-based statement elsewhere. */
export const APPLY_BATCH_ROWS = 500;
/** (option) Bytes of one set-based statement elsewhere; a larger bundle is spilled to disk. */
export const APPLY_BATCH_BYTES = 1024 * 1024;
/** (option) Automatic conflict retries per key and call. */
export const CONFLICT_RETRIES_MAX = 2;
/** Attempts of one push call over all its conflicts, so that a resolver that never agrees ends. */
export const CONFLICT_ATTEMPTS_MAX = 10;
/** (option) Rows that one call may quarantine before it fails, so that a wrong schema does not quarantine a whole database. */
export const QUARANTINE_LIMIT = 100;
/** Requests that one call may spend on finding the row a server refuses without naming it. */
export const BISECT_REQUESTS_MAX = 16;
/** Calls in a row that end with a 500 for the same content before that content, not the server, is held responsible. */
export const SERVER_FAILURES_BEFORE_BISECT = 3;
/** (option) Durable outcomes kept. */
export const OUTCOME_LIMIT = 10_000;

/** (option) Wait for the response headers. */
export const REQUEST_TIMEOUT_MS = 30_000;
/** (option) The same for commit and snapshot creation, on which a server works for up to 300 s. */
export const BULK_REQUEST_TIMEOUT_MS = 330_000;
/** (option) Wait between two pieces of a body. */
export const BODY_IDLE_TIMEOUT_MS = 30_000;
/** (option) Wait between two pieces of a watch stream; servers send a heartbeat every 25 s. */
export const WATCH_IDLE_TIMEOUT_MS = 60_000;
/** Wait for a best-effort session delete; nobody waits for it but `close()`. */
export const SESSION_DELETE_TIMEOUT_MS = 5_000;

/** (option) Attempts of a request that failed in transport or with a 5xx status. */
export const RETRY_ATTEMPTS_MAX = 3;
/** (option) First delay between attempts. */
export const RETRY_INITIAL_BACKOFF_MS = 150;
/** (option) Largest delay between attempts, before jitter. */
export const RETRY_BACKOFF_MAX_MS = 1_500;
/** (option) Random share added to a delay. */
export const RETRY_JITTER_RATIO = 0.2;
/** (option) Elapsed budget for waits on a busy server. */
export const CAPACITY_WAIT_MAX_MS = 30_000;
/** (option) Wait when a busy server names none. */
export const CAPACITY_FALLBACK_DELAY_MS = 1_000;
/** (option) Random share added to such a wait. */
export const CAPACITY_JITTER_RATIO = 1.0;
/** Attempts to find a bundle that was just committed: a replica may be behind. */
export const COMMITTED_ROWS_ATTEMPTS_MAX = 6;
/** Runs of committed rows that are as they were frozen, one for each table and op; past them rows are staged: a run costs statements. */
export const MATCHED_RUNS_MAX = 64;
/** Bundles that go without a try to prove them by their hash, where a server keeps changing rows: a vain try costs a reading of the outbox. */
export const PROOFS_SKIPPED_MAX = 31;
/** First delay between those attempts. */
export const COMMITTED_ROWS_BACKOFF_MS = 75;
/** Largest delay between those attempts. */
export const COMMITTED_ROWS_BACKOFF_MAX_MS = 600;

/** Decoded bytes of a capabilities reply. */
export const CAPABILITIES_BODY_BYTES_MAX = 4 * 1024 * 1024;
/** Decoded bytes of other control replies, and what envelopes may add to the rows of a chunk or an error. */
export const CONTROL_BODY_BYTES_MAX = 64 * 1024;
/** Nesting of a reply. */
export const RESPONSE_JSON_DEPTH_MAX = 128;
/** A request body below this many bytes is sent as it is: compressing it gains nothing. */
export const GZIP_REQUEST_BYTES_MIN = 1024;
/** Row text of a pull or committed-rows page when the server names no limit of a row: 4 MiB as its default, and as much again for escapes. */
export const ROW_TEXT_BYTES_MAX = 8 * 1024 * 1024;

/** Rounds of `syncThenDetach` before it gives up on a queue that is filled while it is emptied. */
export const SYNC_THEN_DETACH_ROUNDS_MAX = 3;

/** (option) Wait of SQLite for a lock of another connection. */
export const SQLITE_BUSY_TIMEOUT_MS = 5_000;
/** (option) Page cache of the engine's connection; below 16 MB capture is up to three times slower. */
export const SQLITE_CACHE_BYTES = 16 * 1024 * 1024;
/** Size of a database, when it is opened, up to which statement journals stay in memory: one holds at most all pages there were. */
export const MEMORY_JOURNAL_DATABASE_BYTES_MAX = 64 * 1024 * 1024;

/** (option) Pause between two automatic pulls while no watch stream is open. */
export const AUTOMATIC_DOWNLOAD_INTERVAL_MS = 60_000;
/** (option) First delay before a lost watch stream is opened again. */
export const WATCH_RECONNECT_MIN_MS = 1_000;
/** (option) Largest such delay, before jitter. */
export const WATCH_RECONNECT_MAX_MS = 60_000;
/** Life after which a watch stream counts as healthy: its end then starts the delays from the minimum again. */
export const WATCH_HEALTHY_MS = 10_000;
/** (option) How long the background loop goes on after the application was hidden. */
export const HIDDEN_GRACE_MS = 30_000;
/** (option) First delay of the background loop after a failure. */
export const LOOP_BACKOFF_MIN_MS = 1_000;
/** (option) Largest such delay, before jitter. */
export const LOOP_BACKOFF_MAX_MS = 60_000;
/** (option) Random share added to such a delay. */
export const LOOP_JITTER_RATIO = 0.2;
/** (option) Quiet time after a local write before it is uploaded. */
export const UPLOAD_DEBOUNCE_MS = 250;
/** (option) Longest time that steady writing puts an upload off. */
export const UPLOAD_DELAY_MAX_MS = 5_000;
/** Largest duration a platform timer takes. */
export const LOOP_DELAY_MAX_MS = 2_147_483_647;
/** (option) Time of one `syncOnce`: phones grant a background task about 30 s. */
export const SYNC_ONCE_DEADLINE_MS = 25_000;

/** Parts of the first comparison of a table: 100,000 rows become parts of about 1,600. */
export const VERIFY_FIRST_PARTS = 64;
/** Parts into which a range that differs is cut. */
export const VERIFY_NEXT_PARTS = 16;
/** Ranges of one verification request; times {@link VERIFY_NEXT_PARTS} that bounds an answer to about a thousand hashes. */
export const VERIFY_RANGES_MAX = 64;
/** Rows of the server at which a range is fetched rather than narrowed: the hashes would cost more than the rows. */
export const VERIFY_RANGE_ROWS_MAX = 256;
/** Unsent rows of one table that a verification leaves out; with more of them it asks for a push first. */
export const VERIFY_EXCLUDED_KEYS_MAX = 5_000;
/** Times that a verification starts again because the server has committed meanwhile. */
export const VERIFY_ROUNDS_MAX = 5;
/** Times that one range is compared again because the application wrote into it meanwhile. */
export const VERIFY_RANGE_ATTEMPTS_MAX = 5;
/** Rows of one page of a repair. */
export const VERIFY_PAGE_ROWS = 500;
/** Decoded bytes of the hashes of one answer: a thousand hashes with the longest keys that an index holds. */
export const VERIFY_BODY_BYTES_MAX = 8 * 1024 * 1024;

/** Rows of a list (quarantine, outcomes, discarded rows) when the caller names no number. */
export const LIST_ROWS_DEFAULT = 100;
/** Most rows of one page of a list: all outcomes that are kept by default, and little enough to be held at once. */
export const LIST_ROWS_MAX = 10_000;
