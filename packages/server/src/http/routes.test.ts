import { expect, test } from 'vitest';

import { matchRoute } from './routes.ts';

test.each([
  ['GET', '/sync/capabilities', 'capabilities', ''],
  ['POST', '/sync/connect', 'connect', ''],
  ['POST', '/sync/push-sessions', 'push_session_create', ''],
  ['GET', '/sync/push-sessions/x', 'push_session_status', 'x'],
  ['DELETE', '/sync/push-sessions/x', 'push_session_delete', 'x'],
  ['POST', '/sync/push-sessions/x/chunks', 'push_chunk', 'x'],
  ['POST', '/sync/push-sessions/x/commit', 'push_session_commit', 'x'],
  ['GET', '/sync/committed-bundles/7/rows', 'committed_bundle_rows', '7'],
  ['GET', '/sync/pull', 'pull', ''],
  ['GET', '/sync/watch', 'bundle_change_watch', ''],
  ['POST', '/sync/snapshot-sessions', 'snapshot_session_create', ''],
  ['GET', '/sync/snapshot-sessions/a%2Fb%2520', 'snapshot_chunk', 'a/b%20'],
  ['DELETE', '/sync/snapshot-sessions/%zz', 'snapshot_session_delete', '%zz'],
  ['GET', '/api/v1/sync/pull', 'pull', ''],
  ['GET', '/sync/app/sync/pull', 'pull', ''],
])('%s %s is %s', (method, path, operation, parameter) => {
  expect(matchRoute(method, path)).toStrictEqual({ kind: 'operation', operation, parameter });
});

test.each([
  ['HEAD', '/sync/pull', 'GET'],
  ['POST', '/sync/pull', 'GET'],
  ['OPTIONS', '/sync/connect', 'POST'],
  ['PUT', '/sync/snapshot-sessions/x', 'GET, DELETE'],
])('%s %s is refused with the methods that are allowed', (method, path, allow) => {
  expect(matchRoute(method, path)).toMatchObject({ kind: 'method_not_allowed', allow });
});

test.each([
  '/',
  '/sync',
  '/sync/',
  '/sync/unknown',
  '/sync/pull/',
  '/sync/push-sessions/',
  '/sync/push-sessions//commit',
  '/syncx/pull',
  '/pull',
  '/SYNC/pull',
])('%s is unknown', (path) => {
  expect(matchRoute('GET', path)).toStrictEqual({ kind: 'not_found' });
});
