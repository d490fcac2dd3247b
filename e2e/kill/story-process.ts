/** The devices that are killed: plays the story from wherever the files say it stands, and reports each step. */
import { useExternalPostgres } from '@oversync/dev-postgres';
import { digestPostgres, loadCities, openServerQuery, playStory } from '@oversync/main-job-example';
import { isSyncError } from '@oversync/protocol';

import type { StoryArguments, StoryMessage } from './messages.ts';

const { databaseUrl, ...story } = JSON.parse(process.argv[2] ?? '') as StoryArguments;
process.on('disconnect', () => process.exit());

try {
  await play();
} catch (error) {
  const code = isSyncError(error) ? error.code : 'other';
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  await deliver({ kind: 'error', code, text, isRetryable: isRetryable(error) });
}
process.disconnect();

async function play(): Promise<void> {
  const serverQuery = openServerQuery(useExternalPostgres(databaseUrl));
  const result = await playStory({
    ...story,
    cities: await loadCities(),
    digestServer: () => digestPostgres(serverQuery.query, story.user),
    startProgress: () => ({
      update: (rowsDone) => send({ kind: 'progress', rowsDone }),
      end: () => undefined,
      abandon: () => undefined,
    }),
    signal: new AbortController().signal,
    onStep: (step, wasDone) => send({ kind: 'step', step, wasDone }),
  });
  await serverQuery.close();
  const dumps = result.dumps.map(({ where, dump }) => `${where}: ${dump.rowCount} rows, ${dump.sha256}`).join('\n');
  await deliver({ kind: 'done', round: result.round, isEqual: result.isEqual, dumps });
}

/** A killed server shows as a failed request, of sync or of the sign-in; the story then starts again, as an app would. */
function isRetryable(error: unknown): boolean {
  return isSyncError(error) ? error.retryable : error instanceof TypeError;
}

function send(message: StoryMessage): void {
  process.send?.(message);
}

/** The last message: the channel must not be closed before it is out. */
function deliver(message: StoryMessage): Promise<void> {
  return new Promise((sent) => {
    process.send?.(message, undefined, undefined, () => sent());
  });
}
