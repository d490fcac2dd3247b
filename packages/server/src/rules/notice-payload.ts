import { isJsonObject, isSourceId, parseInt64, parseJson, stringifyJson } from '@oversync/protocol';
import type { JsonValue } from '@oversync/protocol';

/** What one process tells the others about a commit. Stays far below the 8000 bytes of a notification: ids are bounded. */
export interface CommitPayload {
  readonly scopePk: string;
  readonly bundleSeq: bigint;
  readonly sourceId: string;
  readonly sourceBundleId: bigint;
}

const PAYLOAD_DEPTH_MAX = 2;

export function formatNoticePayload(payload: CommitPayload): string {
  return stringifyJson({
    scope_pk: BigInt(payload.scopePk),
    bundle_seq: payload.bundleSeq,
    source_id: payload.sourceId,
    source_bundle_id: payload.sourceBundleId,
  });
}

/** `undefined` for anything that is no such payload: everybody who may connect can notify. */
export function parseNoticePayload(text: string): CommitPayload | undefined {
  const json = readJson(text);
  if (!isJsonObject(json)) return undefined;
  const scopePk = readPositive(json['scope_pk']);
  const bundleSeq = readPositive(json['bundle_seq']);
  const sourceBundleId = readPositive(json['source_bundle_id']);
  const sourceId = json['source_id'];
  if (scopePk === undefined || bundleSeq === undefined || sourceBundleId === undefined) return undefined;
  if (typeof sourceId !== 'string' || !isSourceId(sourceId)) return undefined;
  return { scopePk: scopePk.toString(), bundleSeq, sourceId, sourceBundleId };
}

function readJson(text: string): JsonValue {
  try {
    return parseJson(text, { depthMax: PAYLOAD_DEPTH_MAX });
  } catch {
    return null;
  }
}

function readPositive(value: JsonValue | undefined): bigint | undefined {
  const integer = value === undefined ? null : parseInt64(value);
  return integer === null || integer <= 0n ? undefined : integer;
}
