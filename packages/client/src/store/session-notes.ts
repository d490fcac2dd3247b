import { isJsonObject, parseInt64, parseJson, stringifyJson } from '@oversync/protocol';
import type { JsonObject } from '@oversync/protocol';

import type { SqliteTx } from '../ports/sqlite-driver.ts';
import { loadMeta, saveMeta } from './meta.ts';

/*
 * Notes about server sessions that let a restart go on where a killed process stopped. Losing one costs a repeated transfer, nothing else.
 */

/** Which rebuild a snapshot session belongs to. */
export type SnapshotKind = 'remote_replace' | 'keep_source' | 'rotate_source';

/** The snapshot session whose rows are being staged (client.md 8.4). Removed as soon as the session is retired. */
export interface SnapshotSessionNote {
  readonly kind: SnapshotKind;
  readonly sourceId: string;
  readonly snapshotId: string;
  readonly bundleSeq: bigint;
  readonly rowCount: bigint;
  readonly byteCount: bigint;
  readonly stagedByteCount: bigint;
  readonly expiresAtMs: number;
  /** The stage is complete, and in its own file. */
  readonly isInFile: boolean;
}

/** The open push session (client.md 6.4). */
export interface PushSessionNote {
  readonly pushId: string;
  readonly requestHash: string;
}

const SNAPSHOT_NOTE = 'snapshot_session';
const PUSH_NOTE = 'push_session';
const NOTE_DEPTH_MAX = 2;

export async function saveSnapshotNote(tx: SqliteTx, note: SnapshotSessionNote | null): Promise<void> {
  await saveMeta(tx, SNAPSHOT_NOTE, note === null ? null : stringifyJson({ ...note }));
}

export async function loadSnapshotNote(tx: SqliteTx): Promise<SnapshotSessionNote | null> {
  const note = await loadNote(tx, SNAPSHOT_NOTE);
  if (note === null) return null;
  const { kind, sourceId, snapshotId } = note;
  if (kind !== 'remote_replace' && kind !== 'keep_source' && kind !== 'rotate_source') return null;
  if (typeof sourceId !== 'string' || typeof snapshotId !== 'string') return null;
  const [bundleSeq, rowCount] = [parseInt64(note['bundleSeq']), parseInt64(note['rowCount'])];
  const [byteCount, stagedByteCount] = [parseInt64(note['byteCount']), parseInt64(note['stagedByteCount'])];
  const expiresAtMs = parseInt64(note['expiresAtMs']);
  if (bundleSeq === null || rowCount === null || byteCount === null || stagedByteCount === null || expiresAtMs === null)
    return null;
  const isInFile = note['isInFile'] === true;
  return {
    kind,
    sourceId,
    snapshotId,
    bundleSeq,
    rowCount,
    byteCount,
    stagedByteCount,
    expiresAtMs: Number(expiresAtMs),
    isInFile,
  };
}

export async function savePushNote(tx: SqliteTx, note: PushSessionNote | null): Promise<void> {
  await saveMeta(tx, PUSH_NOTE, note === null ? null : stringifyJson({ ...note }));
}

export async function loadPushNote(tx: SqliteTx): Promise<PushSessionNote | null> {
  const note = await loadNote(tx, PUSH_NOTE);
  const { pushId, requestHash } = note ?? {};
  return typeof pushId === 'string' && typeof requestHash === 'string' ? { pushId, requestHash } : null;
}

async function loadNote(tx: SqliteTx, name: string): Promise<JsonObject | null> {
  const text = await loadMeta(tx, name);
  if (text === null) return null;
  const note = parseJson(text, { depthMax: NOTE_DEPTH_MAX });
  return isJsonObject(note) ? note : null;
}

const SUCCESSOR_NOTE = 'server_successor';

/** The successor that the server named and that was not the reserved one; `rebuild({replacement: 'adopt_server'})` takes it. */
export function saveServerSuccessor(tx: SqliteTx, sourceId: string | null): Promise<void> {
  return saveMeta(tx, SUCCESSOR_NOTE, sourceId);
}

export function loadServerSuccessor(tx: SqliteTx): Promise<string | null> {
  return loadMeta(tx, SUCCESSOR_NOTE);
}

const SEED_NOTE = 'seed_source';

/**
 * The source under which a forgotten scope is being seeded again. Kept before the server is asked: it gives its lease to a source, and
 * whoever comes back after a lost answer under another name would wait for that lease to expire.
 */
export function saveSeedSource(tx: SqliteTx, sourceId: string | null): Promise<void> {
  return saveMeta(tx, SEED_NOTE, sourceId);
}

export function loadSeedSource(tx: SqliteTx): Promise<string | null> {
  return loadMeta(tx, SEED_NOTE);
}

const FAILURE_NOTE = 'push_failures';

/** Counts one more call that ended with a server fault for this content. Returns how many there were in a row. */
export async function countServerFailure(tx: SqliteTx, requestHash: string): Promise<number> {
  const note = await loadNote(tx, FAILURE_NOTE);
  const before = note?.['requestHash'] === requestHash ? (parseInt64(note['count']) ?? 0n) : 0n;
  const count = Number(before) + 1;
  await saveMeta(tx, FAILURE_NOTE, stringifyJson({ requestHash, count }));
  return count;
}

const REPLAY_NOTE = 'replay_failures';

/** Notes that the rows of the own bundle do not fit the local tables. Returns whether that was so before. */
export async function noteUnfitReplay(tx: SqliteTx, requestHash: string): Promise<boolean> {
  const isKnown = (await loadMeta(tx, REPLAY_NOTE)) === requestHash;
  if (!isKnown) await saveMeta(tx, REPLAY_NOTE, requestHash);
  return isKnown;
}

export async function forgetServerFailures(tx: SqliteTx): Promise<void> {
  for (const note of [FAILURE_NOTE, REPLAY_NOTE]) {
    if ((await loadMeta(tx, note)) !== null) await saveMeta(tx, note, null);
  }
}
