import { canonicalJson, parseJson } from '@oversync/protocol';

import { RESPONSE_JSON_DEPTH_MAX } from '../limits.ts';
import { scanMembers } from './wire-row.ts';

/** Text whose escapes, if any, are those of canonical JSON. `\u` escapes take the exact path. */
const CANONICAL_ESCAPES = /^(?:[^\\]|\\["\\bfnrt])*$/;

/**
 * Canonical text (protocol.md 6.1) of a payload as it was received. Servers send payloads that are canonical already; that is recognised
 * from the positions of the members, without parsing a value.
 */
export function canonicalPayloadText(text: string): string {
  return isCanonical(text) ? text : canonicalJson(parseJson(text, { depthMax: RESPONSE_JSON_DEPTH_MAX }));
}

function isCanonical(text: string): boolean {
  if (text.includes('\\') && !CANONICAL_ESCAPES.test(text)) return false;
  const { members } = scanMembers(text, 0);
  let length = 1 + Math.max(1, members.length);
  let previous: string | null = null;
  for (const { name, valueStart, valueEnd } of members) {
    if (previous !== null && previous >= name) return false;
    if (!isPlainScalar(text.charCodeAt(valueStart))) return false;
    length += name.length + 3 + valueEnd - valueStart;
    previous = name;
  }
  return length === text.length;
}

/** A string or a literal: nothing whose spelling could vary. */
function isPlainScalar(first: number): boolean {
  return first === 0x22 || first === 0x74 || first === 0x66 || first === 0x6e;
}
