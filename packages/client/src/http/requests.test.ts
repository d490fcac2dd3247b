import { describe, expect, it } from 'vitest';

import { buildRequest } from './exchange.ts';
import type { RequestParts } from './exchange.ts';
import { deleteSnapshotSessionRequest, pullRequest, pushChunkRequest, requestUrl } from './requests.ts';

const signal = new AbortController().signal;
const parts: RequestParts = {
  acceptEncoding: 'gzip',
  credentials: { Authorization: 'Bearer t' },
  sourceId: 'source-1',
  body: null,
  signal,
};

describe('[T61] request URLs', () => {
  it.each([
    ['https://h', '/sync/pull'],
    ['https://h/', '/sync/pull'],
    ['https://h/api/v1', '/api/v1/sync/pull'],
    ['https://h/api/v1///', '/api/v1/sync/pull'],
    ['https://h/a%20b/?ignored=1#x', '/a%20b/sync/pull'],
  ])('keep the path prefix of %s', (base, path) => {
    const url = requestUrl(new URL(base), pullRequest(3n, 10, null));
    expect(url.pathname).toBe(path);
    expect(url.search).toBe('?after_bundle_seq=3&max_bundles=10');
    expect(url.hash).toBe('');
  });

  it('escape a session id as one path segment', () => {
    const url = requestUrl(new URL('https://h'), deleteSnapshotSessionRequest('a/b?c#d é'));
    expect(url.pathname).toBe('/sync/snapshot-sessions/a%2Fb%3Fc%23d%20%C3%A9');
  });

  it('carry 64-bit counters without loss', () => {
    const url = requestUrl(new URL('https://h'), pullRequest(9223372036854775807n, 1, 9007199254740993n));
    expect(url.searchParams.get('after_bundle_seq')).toBe('9223372036854775807');
    expect(url.searchParams.get('target_bundle_seq')).toBe('9007199254740993');
  });
});

describe('requests', () => {
  it('have credentials and source id, and no body headers without a body', () => {
    const request = buildRequest(new URL('https://h'), pullRequest(0n, 1, null), parts);
    expect(request.headers.get('authorization')).toBe('Bearer t');
    expect(request.headers.get('oversync-source-id')).toBe('source-1');
    expect(request.headers.has('content-type')).toBe(false);
  });

  it.each([
    ['gzip', undefined, 'gzip'],
    ['identity', undefined, 'identity'],
    ['gzip', 'text/event-stream', 'identity'],
  ] as const)('with acceptEncoding %s and accept %s ask for %s', (acceptEncoding, accept, expected) => {
    const request = buildRequest(new URL('https://h'), pullRequest(0n, 1, null), { ...parts, acceptEncoding, accept });
    expect(request.headers.get('accept-encoding')).toBe(expected);
  });

  it('join ready row texts into the body of a chunk', () => {
    expect(pushChunkRequest('p', 4, ['{"a":1}', '{"b":2}']).body).toBe('{"start_row_ordinal":4,"rows":[{"a":1},{"b":2}]}');
  });
});
