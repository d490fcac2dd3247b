/**
 * `push_id` and `snapshot_id`: UUIDs of version 8 that carry a tag of their scope and a keyed checksum, so that a token of
 * another scope is told from an invented one without touching that scope's rows.
 *
 * | bytes | content                                               |
 * | ----- | ----------------------------------------------------- |
 * | 0–8   | 66 random bits around the version and variant bits    |
 * | 9–11  | tag of the scope: HMAC of `scope` and scope_pk        |
 * | 12–15 | checksum: HMAC of `token`, the kind and bytes 0–11    |
 */
import { REMEMBERED_SCOPES_MAX } from '../limits.ts';
import { createHmacSha256 } from './hmac-sha256.ts';

export type TokenKind = 'push' | 'snapshot';

/** `not_found`: never issued by this server. `forbidden`: issued for another scope. `own`: look it up in the own scope. */
export type TokenVerdict = 'own' | 'forbidden' | 'not_found';

export interface SessionTokens {
  issue(kind: TokenKind, scopePk: string): string;
  check(kind: TokenKind, token: string, scopePk: string): TokenVerdict;
}

const TOKEN_PATTERN = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const TAG_START = 9;
const CHECKSUM_START = 12;
const TOKEN_BYTES = 16;
const TAG_DIGITS = 6;
const CHECKSUM_DIGITS = 8;

/** `secret` is the token secret of the metadata schema, shared by all processes of the deployment. */
export function createSessionTokens(secret: Uint8Array): SessionTokens {
  const hmac = createHmacSha256(secret);
  const computeTag = rememberTags((scopePk) => hmac(`scope:${scopePk}`).slice(0, TAG_DIGITS));
  const computeChecksum = (kind: TokenKind, head: string): string => hmac(`token:${kind}:${head}`).slice(0, CHECKSUM_DIGITS);

  return {
    issue: (kind, scopePk) => {
      const head = toHex(createRandomHead()) + computeTag(scopePk);
      return dash(head + computeChecksum(kind, head));
    },
    check: (kind, token, scopePk) => {
      if (!TOKEN_PATTERN.test(token)) return 'not_found';
      const hex = token.replaceAll('-', '');
      const head = hex.slice(0, CHECKSUM_START * 2);
      if (!isEqual(hex.slice(CHECKSUM_START * 2), computeChecksum(kind, head))) return 'not_found';
      return head.slice(TAG_START * 2) === computeTag(scopePk) ? 'own' : 'forbidden';
    },
  };
}

/** Every request of a push or a snapshot asks for the tag of its scope again. */
function rememberTags(compute: (scopePk: string) => string): (scopePk: string) => string {
  const tags = new Map<string, string>();
  return (scopePk) => {
    let tag = tags.get(scopePk);
    if (tag !== undefined) return tag;
    if (tags.size >= REMEMBERED_SCOPES_MAX) tags.clear();
    tags.set(scopePk, (tag = compute(scopePk)));
    return tag;
  };
}

function createRandomHead(): Uint8Array {
  const bytes = crypto.getRandomValues(new Uint8Array(TAG_START));
  bytes[6] = 0x80 | ((bytes[6] ?? 0) & 0x0f);
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f);
  return bytes;
}

function toHex(bytes: Uint8Array): string {
  let hex = '';
  for (const byte of bytes) hex += byte.toString(16).padStart(2, '0');
  return hex;
}

function dash(hex: string): string {
  if (hex.length !== TOKEN_BYTES * 2) throw new Error('a session token has sixteen bytes');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** Compares in constant time, so that a checksum cannot be guessed digit by digit. */
function isEqual(left: string, right: string): boolean {
  if (left.length !== right.length) return false;
  let difference = 0;
  for (let index = 0; index < left.length; index += 1) difference |= left.charCodeAt(index) ^ right.charCodeAt(index);
  return difference === 0;
}
