import { asArray, asObject, asString } from '../json.ts';
import type { FixtureObject } from '../json.ts';
import { rawReply, refusal, wireJson, objectOf } from './wire.ts';
import type { ScriptHandler, ScriptRequest } from './wire.ts';
import { canonicalJson } from '@oversync/protocol';

export interface SnapshotService {
  readonly createCount: () => number;
  /** The member `source_replacement` of each session request, canonical; the empty text where it was absent. */
  readonly sourceReplacements: () => readonly string[];
  readonly create: ScriptHandler;
  readonly chunk: ScriptHandler;
}

/** Sessions and chunks that the fixture spells out. */
export function recordedSnapshots(script: FixtureObject): SnapshotService {
  const sessions = asArray(script['sessions']).map(asObject);
  const chunks = asObject(script['chunks']);
  return service(
    [],
    (index) => JSON.stringify(sessions[Math.min(index, sessions.length - 1)]),
    (request) => {
      const chunk = asObject(asObject(chunks[request.id])[request.query['after_row_ordinal'] ?? '']);
      if (typeof chunk['status'] === 'number') return rawReply(chunk['status'], JSON.stringify(chunk['body']));
      return rawReply(200, JSON.stringify(chunk));
    },
  );
}

/** Snapshots of which the fixture lists the rows: sizes, chunks and the failure after a row are made here. */
export function listedSnapshots(script: FixtureObject): SnapshotService {
  const snapshots = asArray(script['snapshots'] ?? []).map(asObject);
  const errors = asArray(script['snapshotSessionErrors'] ?? []).map(asObject);
  return service(
    errors,
    (index) => JSON.stringify(sessionBody(snapshots[Math.min(index, snapshots.length - 1)])),
    (request) => {
      const snapshot = snapshots.find((candidate) => candidate['id'] === request.id);
      return snapshot === undefined ? refusal(404, 'snapshot_session_not_found') : listedChunk(snapshot, request);
    },
  );
}

function service(
  errors: readonly FixtureObject[],
  sessionAt: (index: number) => string,
  chunk: (request: ScriptRequest) => Response,
): SnapshotService {
  const replacements: string[] = [];
  const create = (request: ScriptRequest): Response => {
    const { source_replacement: replacement } = request.body;
    replacements.push(replacement === undefined || replacement === null ? '' : canonicalJson(objectOf(replacement)));
    const error = errors[replacements.length - 1];
    return error === undefined ? rawReply(200, sessionAt(replacements.length - 1)) : sessionError(error);
  };
  return { createCount: () => replacements.length, sourceReplacements: () => replacements, create, chunk };
}

function sessionError(error: FixtureObject): Response {
  const { status = 409, sourceId = 'current-source', replacedBySourceId, error: code, message = 'refused' } = error;
  const successor = replacedBySourceId === undefined ? {} : { replaced_by_source_id: replacedBySourceId };
  return rawReply(Number(status), JSON.stringify({ error: asString(code), message, source_id: sourceId, ...successor }));
}

/** The indented text that the byte counts of the fixtures were measured with. */
function rowTexts(snapshot: FixtureObject): readonly string[] {
  return asArray(snapshot['rows']).map((entry) => {
    const { key, rowVersion, payload } = asObject(entry);
    const row = { schema: 'main', table: 'users', key, row_version: rowVersion, payload };
    objectOf(wireJson(row));
    return JSON.stringify(row, null, 2);
  });
}

function byteCount(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
}

function sessionBody(snapshot: FixtureObject | undefined): FixtureObject {
  if (snapshot === undefined) throw new Error('the script has no snapshot for this session');
  const texts = rowTexts(snapshot);
  return {
    snapshot_id: snapshot['id'],
    snapshot_bundle_seq: snapshot['bundleSeq'],
    row_count: texts.length,
    byte_count: byteCount(texts),
    expires_at: '2099-01-01T00:00:00Z',
  };
}

function listedChunk(snapshot: FixtureObject, request: ScriptRequest): Response {
  const after = Number(request.query['after_row_ordinal']);
  if (snapshot['failAfterRowOrdinal'] === after) return refusal(500, 'snapshot_chunk_failed');
  const limit = Math.min(Number(request.query['max_rows']), Number(snapshot['rowsPerChunk'] ?? Infinity));
  const all = rowTexts(snapshot);
  const texts = all.slice(after, after + limit);
  const next = after + texts.length;
  const head = `"snapshot_id":${JSON.stringify(snapshot['id'])},"snapshot_bundle_seq":${String(snapshot['bundleSeq'])}`;
  const tail = `"next_row_ordinal":${next},"has_more":${next < all.length},"byte_count":${byteCount(texts)}`;
  return rawReply(200, `{${head},"rows":[${texts.join(',')}],${tail}}`);
}
