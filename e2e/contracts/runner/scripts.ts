import type { JsonObject } from '@oversync/protocol';

import { asArray, asObject, asString } from '../json.ts';
import type { FixtureObject } from '../json.ts';
import { PushService } from './push-service.ts';
import type { PushHooks } from './push-service.ts';
import { listedSnapshots, recordedSnapshots } from './snapshot-service.ts';
import type { SnapshotService } from './snapshot-service.ts';
import { numberOf, objectOf, rawReply, refusal, reply, rowsOf, textOf, wireJson } from './wire.ts';
import type { ScriptHandler, ScriptRequest } from './wire.ts';

/** What one script answers; operations that it does not name are answered with 404. */
export interface Script {
  readonly handlers: Readonly<Record<string, ScriptHandler>>;
  readonly push?: PushService;
  readonly snapshots?: SnapshotService;
}

/** What a script may do beside answering. */
export interface ScriptContext {
  /** Runs SQL on the device's database. */
  runSql(statements: readonly string[]): void;
}

type ScriptFactory = (script: FixtureObject, context: ScriptContext) => Script;

const OTHER_HASH = 'f'.repeat(64);

/** Every server script by its name in the fixtures. The names that start a watch stream belong to the watch suite. */
const SCRIPTS: Readonly<Record<string, ScriptFactory>> = {
  default: () => pushScript({}),
  echo_committed_rows: () => pushScript({}),
  committed_bundle_seq_gap: (script) => {
    const made = pushScript({});
    if (made.push !== undefined) made.push.nextBundleSeq = Number(script['bundleSeq']);
    return made;
  },
  committed_replay_first_fetch_http_error: () => pushScript({ committedRows: times(1, () => refusal(500, 'temporary')) }),
  committed_bundle_not_found_then_success: (script) =>
    pushScript({ committedRows: times(Number(script['notFoundCount']), () => refusal(404, 'committed_bundle_not_found')) }),
  committed_replay_pruned: () => pushScript({ committedRows: () => refusal(409, 'history_pruned') }),
  committed_replay_bad_bundle_hash: () => pushScript({ head: (head) => ({ ...head, bundle_hash: OTHER_HASH }) }),
  precommit_retry: () => pushScript({ commit: times(1, () => refusal(500, 'temporary')) }),
  source_retired_on_push_create: (script) =>
    pushScript({
      create: ({ sourceId }) => {
        const successor = asString(script['replacementSourceId'] ?? 'replacement-source');
        return refusal(409, 'source_retired', { source_id: sourceId, replaced_by_source_id: successor });
      },
    }),
  already_committed_rows: (script) => committedBefore(rowsOf(wireJson(script['committedRows'])), (hash) => hash),
  already_committed_request_hash_mismatch: (script) => {
    const payload = objectOf(wireJson(script['committedPayload']));
    const identity = { schema: 'main', table: 'users', key: { id: textOf(payload['id']) }, op: 'INSERT', row_version: 1 };
    return committedBefore([{ ...identity, payload }], () => OTHER_HASH);
  },
  committed_remote_request_hash_mismatch: (script) => hashMismatch(script),
  conflict_once: (script) => pushScript({ commit: times(1, (rows) => conflict(script, rows)) }),
  conflict_once_on_row_count: (script) => {
    let isDone = false;
    const commit = (rows: readonly JsonObject[]): Response | null => {
      if (isDone || rows.length !== script['rowCount']) return null;
      isDone = true;
      return conflict(script, rows);
    };
    return pushScript({ commit });
  },
  pull_incremental_bundles: (script) => pullScript([script['response']]),
  pull_incremental_users: (script) => pullScript([script['response']]),
  pull_sequence: (script) => pullScript(asArray(script['responses'])),
  snapshot_sequence: (script) => snapshotScript(recordedSnapshots(script)),
  snapshot_rebuild: (script) => snapshotScript(listedSnapshots(script)),
  remote_authoritative_partial_snapshot: (script) => snapshotScript(listedSnapshots(script)),
  chunked_sync: (script, context) => {
    const made = pushScript({});
    const writes = asArray(script['lateWritesByPull'] ?? []).map((entry) => asArray(entry).map(asString));
    const pull: ScriptHandler = (request) => {
      context.runSql(writes.shift() ?? []);
      return made.push?.pull(request) ?? refusal(404, 'not_found');
    };
    return { ...made, handlers: { ...made.handlers, pull } };
  },
};

/** The script of a case, `default` where it names none. Throws for a name that no script has. */
export function createScript(script: FixtureObject, context: ScriptContext): Script {
  const kind = asString(script['kind'] ?? 'default');
  const factory = SCRIPTS[kind];
  if (factory === undefined) throw new Error(`unknown server script: ${kind}`);
  return factory(script, context);
}

function pushScript(hooks: PushHooks): Script {
  const push = new PushService(hooks);
  return {
    push,
    handlers: {
      push_session_create: (request) => push.create(request),
      push_session_chunk: (request) => push.chunk(request),
      push_session_commit: (request) => push.commit(request),
      committed_rows: (request) => push.committedRows(request),
      pull: (request) => push.pull(request),
    },
  };
}

function pullScript(responses: readonly unknown[]): Script {
  let index = 0;
  const pull: ScriptHandler = () => {
    const response = responses[Math.min(index, responses.length - 1)];
    index += 1;
    return rawReply(200, JSON.stringify(response));
  };
  return { handlers: { pull } };
}

function snapshotScript(snapshots: SnapshotService): Script {
  return { snapshots, handlers: { snapshot_session_create: snapshots.create, snapshot_chunk: snapshots.chunk } };
}

/** A push whose commit had succeeded before: the first create learns so. */
function committedBefore(rows: readonly JsonObject[], hashOf: (requestHash: string) => string): Script {
  const create = (request: ScriptRequest): Response => {
    const { source_bundle_id: sourceBundleId, canonical_request_hash: hash } = request.body;
    const { push } = made;
    const requestHash = hashOf(textOf(hash));
    const bundle = { seq: 1, sourceId: request.sourceId, sourceBundleId: numberOf(sourceBundleId), requestHash, rows };
    const head = push?.bundles.at(-1)?.head ?? push?.append(bundle) ?? {};
    return reply(200, { ...head, status: 'already_committed' });
  };
  const made = pushScript({ create });
  return made;
}

/** The rows page of a committed push names another request hash than the one that was sent, and other rows. */
function hashMismatch(script: FixtureObject): Script {
  const rows = rowsOf(wireJson(asObject(script['committedRowsResponse'])['rows']));
  const { bundle_seq: seq } = asObject(script['commitResponse']);
  const made = pushScript({
    head: (head, place) => (place === 'commit' ? head : { ...head, canonical_request_hash: OTHER_HASH }),
  });
  const commit: ScriptHandler = (request) => {
    const { push } = made;
    const create = push?.createRequests.at(-1);
    if (push === undefined || create === undefined) return refusal(404, 'push_session_not_found');
    const { source_bundle_id: sourceBundleId, canonical_request_hash: hash } = create.body;
    const identity = { sourceId: request.sourceId, sourceBundleId: numberOf(sourceBundleId), requestHash: textOf(hash) };
    return reply(200, push.append({ seq: Number(seq), ...identity, rows }));
  };
  return { ...made, handlers: { ...made.handlers, push_session_commit: commit } };
}

function conflict(script: FixtureObject, rows: readonly JsonObject[]): Response {
  const wire = objectOf(wireJson(script['conflict']));
  const ordinal = rows.findIndex((row) => row['table'] === wire['table'] && sameKey(row, wire));
  return refusal(409, 'push_conflict', { conflict: { row_ordinal: ordinal, ...wire } });
}

function sameKey(row: JsonObject, wire: JsonObject): boolean {
  return JSON.stringify(row['key']) === JSON.stringify(wire['key']);
}

/** The answer of `make` for the first `count` calls. */
function times<A extends readonly unknown[]>(count: number, make: (...args: A) => Response): (...args: A) => Response | null {
  let left = count;
  return (...args) => {
    if (left === 0) return null;
    left -= 1;
    return make(...args);
  };
}
