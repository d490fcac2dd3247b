import { canonicalJson, parseJson } from '@oversync/protocol';

import { RESPONSE_JSON_DEPTH_MAX } from '../limits.ts';
import type { ReceivedRow } from './row-text.ts';

/** Canonical text (protocol.md 6.1) of a payload. Servers send it canonical already, and the reader has seen whether this one is. */
export function canonicalPayloadText(row: Pick<ReceivedRow, 'payload' | 'isCanonical'>): string | null {
  if (row.payload === null || row.isCanonical) return row.payload;
  return canonicalJson(parseJson(row.payload, { depthMax: RESPONSE_JSON_DEPTH_MAX }));
}
