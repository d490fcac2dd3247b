import { expect, test } from 'vitest';

import { findOperations, validateResponse } from './response-validator.ts';

const HEADERS = { 'content-type': 'application/json', 'cache-control': 'no-store' };
const PAGE = '{"stable_bundle_seq":1,"bundles":[],"has_more":false}';

function validate(
  operationId: string,
  status: number,
  body: string,
  headers: Record<string, string> = HEADERS,
): readonly string[] {
  return validateResponse(operationId, { status, headers: new Headers(headers), body });
}

test('an answer as documented has no problems', () => {
  expect(validate('pull', 200, PAGE)).toStrictEqual([]);
  expect(validate('pull', 409, '{"error":"history_pruned","message":"m","more":1}')).toStrictEqual([]);
  expect(validate('push_session_delete', 204, '', { 'cache-control': 'no-store' })).toStrictEqual([]);
});

test.each([
  ['a status', 'pull', 418, PAGE, HEADERS],
  ['a code', 'pull', 409, '{"error":"push_conflict","message":"m"}', HEADERS],
  ['a missing message', 'pull', 409, '{"error":"history_pruned"}', HEADERS],
  ['a missing member', 'pull', 200, '{"stable_bundle_seq":1,"bundles":[]}', HEADERS],
  ['an unknown member', 'pull', 200, PAGE.replace('{', '{"more":1,'), HEADERS],
  ['a duplicate member', 'pull', 200, PAGE.replace('{', '{"has_more":false,'), HEADERS],
  ['an integer with a fraction', 'pull', 200, PAGE.replace('1', '1.0'), HEADERS],
  [
    'an absent member as null',
    'bundle_change_watch',
    200,
    'event: bundle\ndata: {"bundle_seq":1,"source_id":null}\n\n',
    { 'content-type': 'text/event-stream' },
  ],
  [
    'another event',
    'bundle_change_watch',
    200,
    'event: other\ndata: {"bundle_seq":1}\n\n',
    { 'content-type': 'text/event-stream' },
  ],
  ['a content type', 'pull', 200, PAGE, { ...HEADERS, 'content-type': 'text/html' }],
  ['a missing Cache-Control', 'pull', 200, PAGE, { 'content-type': 'application/json' }],
  ['a missing Retry-After', 'snapshot_session_create', 429, '{"error":"snapshot_build_capacity","message":"m"}', HEADERS],
  [
    'a Retry-After of zero',
    'snapshot_session_create',
    429,
    '{"error":"snapshot_build_capacity","message":"m"}',
    { ...HEADERS, 'retry-after': '0' },
  ],
  ['a body of an empty answer', 'push_session_delete', 204, '{}', { 'cache-control': 'no-store' }],
  ['text that is not JSON', 'pull', 200, 'oops', HEADERS],
])('the validator sees %s', (_, operationId, status, body, headers) => {
  expect(validate(operationId, status, body, headers)).not.toStrictEqual([]);
});

test('operations are found below any prefix; wrong methods and paths stand for all they could mean', () => {
  expect(findOperations('GET', '/api/v1/sync/pull').map(({ operationId }) => operationId)).toStrictEqual(['pull']);
  expect(findOperations('PUT', '/sync/push-sessions/x').map(({ operationId }) => operationId)).toStrictEqual([
    'push_session_status',
    'push_session_delete',
  ]);
  expect(findOperations('GET', '/sync/nothing').length).toBeGreaterThan(10);
});
