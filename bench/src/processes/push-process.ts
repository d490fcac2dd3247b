/** The server's engine with a load of its own: pushes of one row as function calls, without HTTP between. */
import { availableParallelism } from 'node:os';

import { parseJsonBytes, type JsonValue } from '@oversync/protocol';
import { EXAMPLE_SCHEMA_SQL, REGISTERED_TABLES } from '@oversync/reference-server-example';
import { createPgDatabase } from '@oversync/server/pg';
import { Pool } from 'pg';

import type { Actor, SyncContext } from '../../../packages/server/src/engine/context.ts';
import { connect } from '../../../packages/server/src/engine/connect.ts';
import { stagePushChunk } from '../../../packages/server/src/engine/push-chunk.ts';
import { commitPush } from '../../../packages/server/src/engine/push-commit.ts';
import { createPushSession } from '../../../packages/server/src/engine/push-create.ts';
import { resolveOptions } from '../../../packages/server/src/engine/resolve-options.ts';
import { ServerCore } from '../../../packages/server/src/engine/server-core.ts';
import { makeBenchRow } from '../bench-rows.ts';
import { measureWrites } from '../measure-writes.ts';
import { encodeWirePush } from '../wire-push.ts';
import { serveParent } from './ipc.ts';

const [databaseUrl] = process.argv.slice(2);
if (databaseUrl === undefined) throw new Error('usage: push-process <database URL>');

const JSON_DEPTH_MAX = 20;
/** As many connections as the server of the example has. */
const POOL_SIZE = Math.max(4, 2 * availableParallelism());
const pool = new Pool({ connectionString: databaseUrl, max: POOL_SIZE });
// The database is dropped when the benchmark ends; queries report errors of their own.
pool.on('error', () => {});
const database = createPgDatabase(pool, { preparedStatements: true });
await database.transaction({ isolation: 'read committed' }, (tx) => tx.script(EXAMPLE_SCHEMA_SQL));
const core = new ServerCore(
  resolveOptions({ database, registeredTables: REGISTERED_TABLES, resolveActor: () => null, watch: { enabled: true } }),
);
await core.bootstrap();

interface Writer {
  readonly actor: Actor;
  nextSourceBundleId: bigint;
}

/** What one push sends, made before the clock starts. */
interface PreparedPush {
  readonly hash: string;
  readonly body: JsonValue;
}

const writersByCount = new Map<number, Promise<readonly Writer[]>>();
let nextRow = 0;

function openWriters(count: number): Promise<readonly Writer[]> {
  let writers = writersByCount.get(count);
  if (writers === undefined) {
    const open = async (number: number): Promise<Writer> => {
      const actor = { scopeId: `direct ${count}/${number}`, userId: 'bench', sourceId: `direct-${count}-${number}` };
      await call(actor, (ctx) => connect(ctx, actor, { hasLocalPendingRows: false }));
      return { actor, nextSourceBundleId: 1n };
    };
    writersByCount.set(count, (writers = Promise.all(Array.from({ length: count }, (_, number) => open(number)))));
  }
  return writers;
}

/** An operation as the handler of its request runs it. */
async function call<T>(actor: Actor, run: (ctx: SyncContext) => Promise<T>): Promise<T> {
  const running = core.ctx.lifecycle.enter();
  try {
    return await run(core.createRequestContext(actor, crypto.randomUUID(), running.signal));
  } finally {
    running.leave();
  }
}

async function push(writer: Writer, { hash, body }: PreparedPush): Promise<void> {
  const { actor } = writer;
  const request = { source_bundle_id: writer.nextSourceBundleId, planned_row_count: 1n, canonical_request_hash: hash };
  const session = await call(actor, (ctx) => createPushSession(ctx, actor, request));
  if (session.status !== 'staging') throw new Error('the push was committed before');
  await call(actor, (ctx) => stagePushChunk(ctx, actor, { pushId: session.push_id, body }));
  await call(actor, (ctx) => commitPush(ctx, actor, session.push_id));
  writer.nextSourceBundleId += 1n;
}

function preparePush(): PreparedPush {
  const { hash, chunks } = encodeWirePush([makeBenchRow((nextRow += 1))]);
  return { hash, body: parseJsonBytes(chunks[0] ?? new Uint8Array(), { depthMax: JSON_DEPTH_MAX }) };
}

serveParent({
  run: async ({ writers: count, rows }: { readonly writers: number; readonly rows: number }) => {
    const writers = await openWriters(count);
    const pushes = Array.from({ length: rows }, preparePush);
    return measureWrites(count, pushes, async (writer, prepared) => {
      const source = writers[writer];
      if (source !== undefined) await push(source, prepared);
    });
  },
});
