import { deepStrictEqual, equal, ok } from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';

import { isSyncError } from '@oversync/client';

import type { SimulatedApp } from '../app.ts';
import { microseconds } from '../canonical-rows.ts';
import { addFile, addPost, addReview, addUser } from '../domain.ts';
import { assertEqual, assertServerCounts } from '../verify.ts';
import type { Scenario } from './scenario.ts';

const UPLOAD_ROWS = 40;
const DOWNLOAD_ROWS = 50;
const SNAPSHOT_ROWS = 25;

/** Finer than PostgreSQL keeps it: microseconds, rounded. */
const FINE_TIME = '2026-03-24T18:42:11.123456789Z';
const KEPT_TIME = '2026-03-24T18:42:11.123457Z';

const CHUNK = 'POST /sync/push-sessions/:id/chunks';
const COMMIT = 'POST /sync/push-sessions/:id/commit';
const COMMITTED_ROWS = 'GET /sync/committed-bundles/:id/rows';
const SNAPSHOT_CHUNK = 'GET /sync/snapshot-sessions/:id';

const EXPECTED = { users: 23, posts: 447, files: 50, file_reviews: 50 };

/** Large pushes in small chunks, crashes at both bad moments, and a phone whose history is gone when it comes back. */
export const complexMultiBatch: Scenario = async (simulation) => {
  const user = simulation.newUser();
  const limits = { uploadLimit: UPLOAD_ROWS, downloadLimit: DOWNLOAD_ROWS, snapshotChunkRows: SNAPSHOT_ROWS };
  const options = { ...limits, retryPolicy: { enabled: false } };
  const tablet = await simulation.device('tablet', user, { options });
  const phone = await simulation.device('phone', user, { options });
  const early = await seedPostsBeforeUsers(tablet);
  await tablet.client.sync();
  await phone.client.sync();
  await assertEqual(simulation, user, [tablet, phone]);

  await seedTheRest(tablet);
  await tablet.client.sync();
  await editAll(tablet, early);
  await pushThroughCrashes(tablet);
  await simulation.environment.backOffice.writeAndForget(user, TOUCH);
  await tablet.client.sync();
  await recoverBySnapshot(phone);
  await assertNoOrphans(tablet);
  for (const app of [tablet, phone]) {
    const counts = await app.rowCounts();
    deepStrictEqual(Object.fromEntries(Object.keys(EXPECTED).map((table) => [table, counts[table]])), EXPECTED, app.name);
    const [kept = ''] = await app.list("SELECT created_at FROM posts WHERE title = 'Fine time'");
    equal(microseconds(kept), microseconds(KEPT_TIME));
  }
  await assertServerCounts(simulation, user, EXPECTED);
  await assertEqual(simulation, user, [tablet, phone]);
};

const TOUCH = "UPDATE business.users SET name = 'Touched by the server' WHERE _sync_scope_id = $1 AND name = 'Author 1'";

/** Five batches whose posts come before the users they belong to: 5 users, 100 posts. Returns the users. */
async function seedPostsBeforeUsers(app: SimulatedApp): Promise<readonly string[]> {
  const authors: string[] = [];
  for (let batch = 1; batch <= 5; batch += 1) {
    const author = randomUUID();
    await app.write(async (tx) => {
      for (let index = 1; index <= 20; index += 1) await addPost(tx, author, `Early ${batch}.${index}`);
      await addUser(tx, `Author ${batch}`, author);
    });
    authors.push(author);
  }
  return authors;
}

/** 20 users with 18 posts each, 50 files with a review each: 25 users and 460 posts in all. */
async function seedTheRest(app: SimulatedApp): Promise<void> {
  await app.write(async (tx) => {
    for (let index = 1; index <= 20; index += 1) {
      const author = await addUser(tx, `Writer ${index}`);
      for (let post = 1; post <= 18; post += 1) await addPost(tx, author, `Post ${index}.${post}`);
    }
    for (let index = 1; index <= 50; index += 1) {
      const file = await addFile(tx, `File ${index}`, randomBytes(200 + index));
      await addReview(tx, file, `Review ${index}`);
    }
  });
}

/** Deletes two users with their 36 posts, changes others, adds 23 posts: 23 users and 447 posts. */
async function editAll(app: SimulatedApp, authors: readonly string[]): Promise<void> {
  await app.write(async (tx) => {
    const gone = "SELECT id FROM users WHERE name IN ('Writer 1', 'Writer 2')";
    await tx.run(`DELETE FROM posts WHERE author_id IN (${gone})`);
    await tx.run("DELETE FROM users WHERE name IN ('Writer 1', 'Writer 2')");
    await tx.run("UPDATE posts SET content = 'Edited' WHERE title LIKE 'Early 1.%' OR title LIKE 'Post 3.%'");
    await tx.run("UPDATE files SET data = zeroblob(64) WHERE name LIKE 'File 1%'");
    for (let index = 1; index <= 22; index += 1) await addPost(tx, authors[0] ?? null, `Late ${index}`);
    await addPost(tx, authors[1] ?? null, 'Fine time', FINE_TIME);
  });
}

/** The process dies before the commit, and once more between commit and replay. Every row is uploaded and committed once. */
async function pushThroughCrashes(app: SimulatedApp): Promise<void> {
  const rowCount = (await app.client.pendingSyncStatus()).pendingRowCount;
  const [chunksBefore, checkpointBefore] = [app.network.count(CHUNK), await app.client.lastBundleSeqSeen()];
  await crashAt(app, COMMIT);
  equal((await app.client.pendingSyncStatus()).pendingRowCount, rowCount);
  await crashAt(app, COMMITTED_ROWS);
  equal((await app.client.pendingSyncStatus()).pendingRowCount, rowCount);
  const { bundles } = await app.client.pushPending();
  equal(bundles.length, 1);
  equal(app.network.count(CHUNK) - chunksBefore, Math.ceil(rowCount / UPLOAD_ROWS), 'upload requests over both crashes');
  equal((await app.client.lastBundleSeqSeen()) - checkpointBefore, 1n, 'bundles over both crashes');
}

/** Ends the application while this request is on its way. */
async function crashAt(app: SimulatedApp, request: string): Promise<void> {
  const reached = app.network.hold(request);
  const [push] = await Promise.all([settled(app.client.pushPending()), reached.then(() => app.restart())]);
  equal(push, 'client_closed');
}

/** The code that the call fails with. */
async function settled(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return 'done';
  } catch (error) {
    if (!isSyncError(error)) throw error;
    return error.code;
  }
}

async function recoverBySnapshot(app: SimulatedApp): Promise<void> {
  const chunksBefore = app.network.count(SNAPSHOT_CHUNK);
  const { remote } = await app.client.sync();
  equal(remote.outcome, 'applied_snapshot');
  const chunks = app.network.count(SNAPSHOT_CHUNK) - chunksBefore;
  ok(chunks > 2, `snapshot chunks: ${chunks}`);
}

async function assertNoOrphans(app: SimulatedApp): Promise<void> {
  deepStrictEqual(await app.driver.all('PRAGMA foreign_key_check'), []);
}
