import { RESERVED_SOURCE_ID_PREFIX } from './limits.ts';

const SOURCE_ID = /^[!-~]{1,256}$/;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const COLUMN_NAME = /^[a-z0-9_]+$/;
/** White space of ECMAScript and, beyond it, of Java and Go: a key blank for one of them is blank for all. */
const BLANK = /^[\s\u001c-\u001f\u0085]*$/;
const SHA256_HEX = /^[0-9a-f]{64}$/;

/** True for 1 to 256 visible ASCII characters: the grammar of a source id. Nothing is trimmed or folded. */
export function isSourceId(text: string): boolean {
  return SOURCE_ID.test(text);
}

/** True for ids that only the server itself may use, whatever the host configured. */
export function isReservedSourceId(text: string): boolean {
  return text.startsWith(RESERVED_SOURCE_ID_PREFIX);
}

/** True for a lower-case dashed UUID: the form of push, snapshot, and initialization tokens. Any version is accepted. */
export function isUuidToken(text: string): boolean {
  return UUID.test(text);
}

/** True for the wire form of a uuid sync key: a lower-case dashed UUID. */
export function isUuidKey(text: string): boolean {
  return UUID.test(text);
}

/**
 * True for the wire form of a text sync key: not blank, without U+0000, well formed.
 *
 * Blank means empty or nothing but white space; old clients cannot read such keys back.
 */
export function isTextKey(text: string): boolean {
  return !BLANK.test(text) && !text.includes('\0') && isWellFormed(text);
}

/** True for a column name as it may appear on the wire. */
export function isColumnName(text: string): boolean {
  return COLUMN_NAME.test(text);
}

/** True for 64 lower-case hexadecimal digits, the text form of both hashes. */
export function isSha256Hex(text: string): boolean {
  return SHA256_HEX.test(text);
}

const UNPAIRED_SURROGATE = /\p{Surrogate}/u;
const hasNativeCheck = typeof String.prototype.isWellFormed === 'function';

/** True when the text holds no unpaired surrogate. Uses the native check where the engine has one. */
export function isWellFormed(text: string): boolean {
  return hasNativeCheck ? text.isWellFormed() : !UNPAIRED_SURROGATE.test(text);
}
