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
export { decodeBase64, encodeBase64, isCanonicalBase64 } from './values/base64.ts';
export { formatFloat } from './values/float.ts';
export { checkBooleanBridge, checkDecimalText, checkFloatText, checkIntegerText } from './values/number-text.ts';
export type { FloatWidth, NumberCategory } from './values/number-text.ts';
