export { encodeErrorBody } from './errors/error-body.ts';
export { isContention, isPrecondition } from './errors/error-kinds.ts';
export { ERROR_TABLE, isErrorCode, isWireErrorCode } from './errors/error-table.ts';
export type { ErrorCode, ErrorEntry, Recovery, WireErrorCode } from './errors/error-table.ts';
export { SyncError, isSyncError } from './errors/sync-error.ts';
export type { SyncErrorOptions } from './errors/sync-error.ts';
export { RowHasher } from './hash/row-hasher.ts';
export { committedRowText, requestRowText } from './hash/row-text.ts';
export type { CommittedHashRow, HashedRow, RequestHashRow, RowOp } from './hash/row-text.ts';
export { createSha256 } from './hash/sha256.ts';
export type { Sha256, Sha256Factory } from './hash/sha256.ts';
export {
  isColumnName,
  isReservedSourceId,
  isSha256Hex,
  isSourceId,
  isTextKey,
  isUuidKey,
  isUuidToken,
  isWellFormed,
} from './ids.ts';
export { canonicalJson } from './json/canonical-json.ts';
export { JsonSyntaxError, JsonValueError } from './json/json-error.ts';
export type { JsonSyntaxReason, JsonValueReason } from './json/json-error.ts';
export { JsonNumber, createJsonObject, isJsonObject, jsonInteger, parseInt64 } from './json/json-value.ts';
export type { JsonObject, JsonOutput, JsonValue } from './json/json-value.ts';
export { parseJson, parseJsonBytes } from './json/parse-json.ts';
export type { ParseJsonOptions } from './json/parse-json.ts';
export { quoteJson, stringifyJson } from './json/stringify-json.ts';
export {
  CONTRACT_ID,
  DEFAULTS,
  LIMITS,
  PROTOCOL_VERSION,
  RESERVED_SOURCE_ID_PREFIX,
  RETRY_AFTER_HEADER,
  SCOPE_COLUMN,
  SOURCE_ID_HEADER,
} from './limits.ts';
export {
  BundleLimitsSchema,
  CapabilitiesSchema,
  REQUIRED_LIMITS,
  TableSpecSchema,
  parseCapabilities,
  readCapabilities,
} from './messages/capabilities.ts';
export type {
  BundleLimits,
  Capabilities,
  CapabilitiesGate,
  CapabilitiesProblem,
  CapabilitiesReading,
  TableSpec,
} from './messages/capabilities.ts';
export { CommitReplySchema, parseCommitReply } from './messages/commit.ts';
export type { CommitReply } from './messages/commit.ts';
export { CommittedRowsPageSchema, parseCommittedRowsPage } from './messages/committed-rows.ts';
export type { CommittedRowsPage } from './messages/committed-rows.ts';
export { ConflictSchema, ListedConflictSchema, parseConflict, parseConflicts } from './messages/conflict.ts';
export type { Conflict, ListedConflict } from './messages/conflict.ts';
export { ConnectReplySchema, ConnectRequestSchema, parseConnectReply, parseConnectRequest } from './messages/connect.ts';
export type { ConnectReply, ConnectRequest } from './messages/connect.ts';
export {
  ErrorBodySchema,
  SnapshotChunkTooSmallSchema,
  SnapshotLimitSchema,
  SourceRetiredSchema,
  parseErrorBody,
  parseSnapshotChunkTooSmall,
  parseSnapshotLimit,
  parseSourceRetired,
} from './messages/error-body.ts';
export type { ErrorBody, SnapshotChunkTooSmall, SnapshotLimit, SourceRetired } from './messages/error-body.ts';
export { PullPageSchema, parsePullPage } from './messages/pull-page.ts';
export type { PullPage, PulledBundle } from './messages/pull-page.ts';
export {
  PushChunkReplySchema,
  PushChunkRequestSchema,
  checkPushRow,
  parsePushChunkReply,
  parsePushChunkRequest,
} from './messages/push-chunk.ts';
export type { PushChunkReply, PushChunkRequest, PushRow } from './messages/push-chunk.ts';
export {
  PushSessionReplySchema,
  PushSessionRequestSchema,
  PushSessionStatusSchema,
  parsePushSessionReply,
  parsePushSessionRequest,
  parsePushSessionStatus,
} from './messages/push-session.ts';
export type { PushSessionReply, PushSessionRequest, PushSessionStatus } from './messages/push-session.ts';
export { checkBundleRow, checkSnapshotRow, isRowKey, isRowOp } from './messages/rows.ts';
export type { BundleRow, RowFault, SnapshotRow } from './messages/rows.ts';
export { SnapshotChunkSchema, parseSnapshotChunk } from './messages/snapshot-chunk.ts';
export type { SnapshotChunk } from './messages/snapshot-chunk.ts';
export {
  SOURCE_REPLACEMENT_REASONS,
  SnapshotSessionRequestSchema,
  SnapshotSessionSchema,
  SourceReplacementSchema,
  parseSnapshotSession,
  parseSnapshotSessionRequest,
} from './messages/snapshot-session.ts';
export type { SnapshotSession, SnapshotSessionRequest, SourceReplacement } from './messages/snapshot-session.ts';
export { StatusSchema, parseStatus } from './messages/status.ts';
export type { Status } from './messages/status.ts';
export {
  VerifyReplySchema,
  VerifyRequestSchema,
  VerifyRowsReplySchema,
  VerifyRowsRequestSchema,
  parseVerifyReply,
  parseVerifyRequest,
  parseVerifyRowsReply,
  parseVerifyRowsRequest,
} from './messages/verify.ts';
export type { VerifyReply, VerifyRequest, VerifyRowsReply, VerifyRowsRequest } from './messages/verify.ts';
export {
  LimitExceededSchema,
  VIOLATION_KINDS,
  ViolationSchema,
  parseLimitExceeded,
  parseViolation,
} from './messages/violation.ts';
export type { LimitExceeded, Violation, ViolationKind } from './messages/violation.ts';
export { WatchEventSchema, parseWatchEvent } from './messages/watch-event.ts';
export type { WatchEvent } from './messages/watch-event.ts';
export { formatBundleEvent, formatSseComment } from './sse/format-sse.ts';
export { createSseReader } from './sse/sse-reader.ts';
export type { SseReader, SseReaderCallbacks } from './sse/sse-reader.ts';
export { decodeBase64, encodeBase64, isCanonicalBase64 } from './values/base64.ts';
export { formatFloat } from './values/float.ts';
export { checkBooleanBridge, checkDecimalText, checkFloatText, checkIntegerText } from './values/number-text.ts';
export type { FloatWidth, NumberCategory } from './values/number-text.ts';
