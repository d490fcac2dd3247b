import { describe, expect, it } from 'vitest';

import { buildRequest } from '../../packages/client/src/http/exchange.ts';
import * as requests from '../../packages/client/src/http/requests.ts';
import type { RequestSpec } from '../../packages/client/src/http/requests.ts';
import { hasContracts, loadFixtures } from './fixtures.ts';
import { asArray, asObject, asString } from './json.ts';
import type { FixtureObject } from './json.ts';

/** The hash and rows that the fixture's expected bodies show; its arguments leave them out. */
const REQUEST_HASH = 'a'.repeat(64);
const USER_ROW =
  '{"schema":"main","table":"users","key":{"id":"user-1"},"op":"INSERT","base_row_version":0,"payload":{"id":"user-1","name":"Ada"}}';

function specOf(operation: string, args: FixtureObject): RequestSpec {
  const big = (name: string): bigint => BigInt(Number(args[name]));
  switch (operation) {
    case 'capabilities':
      return requests.capabilitiesRequest();
    case 'connect':
      return requests.connectRequest(args['hasLocalPendingRows'] === true);
    case 'pull':
      return requests.pullRequest(big('afterBundleSeq'), Number(args['maxBundles']), big('targetBundleSeq'));
    case 'pushSessionCreate':
      return requests.createPushSessionRequest({
        sourceBundleId: big('sourceBundleId'),
        plannedRowCount: Number(args['plannedRowCount']),
        canonicalRequestHash: REQUEST_HASH,
        initializationId: asString(args['initializationId']),
      });
    case 'pushSessionChunk':
      return requests.pushChunkRequest(asString(args['pushId']), Number(args['startRowOrdinal']), [USER_ROW]);
    case 'pushSessionCommit':
      return requests.commitPushRequest(asString(args['pushId']));
    case 'committedRows':
      return requests.committedRowsRequest(big('bundleSeq'), Number(args['afterRowOrdinal']), Number(args['maxRows']));
    case 'snapshotSession':
      return requests.createSnapshotSessionRequest(null);
    case 'snapshotChunk':
      return requests.snapshotChunkRequest({
        snapshotId: asString(args['snapshotId']),
        afterRowOrdinal: Number(args['afterRowOrdinal']),
        maxRows: Number(args['maxRows']),
        maxBytes: Number(args['maxBytes']),
      });
    case 'sourceReplacement':
      return requests.createSnapshotSessionRequest({
        previousSourceId: asString(args['previousSourceId']),
        newSourceId: asString(args['newSourceId']),
        reason: asString(args['reason']),
      });
    case 'watch':
      return requests.watchRequest(big('afterBundleSeq'));
    default:
      throw new Error(`unknown operation ${operation}`);
  }
}

describe.skipIf(!hasContracts)('[T61] request fixtures', () => {
  for (const file of loadFixtures('protocol-http')) {
    const { baseUri, cases } = asObject(file.content);
    it.each(asArray(cases).map(asObject))(`${file.name}: $name`, async (fixture) => {
      const expected = asObject(fixture['expected']);
      const spec = specOf(asString(fixture['operation']), asObject(fixture['args'] ?? {}));
      const request = buildRequest(new URL(asString(baseUri)), spec, {
        credentials: {},
        sourceId: asString(fixture['sourceId']),
        body: spec.body === null ? null : { bytes: new TextEncoder().encode(spec.body), isGzip: false },
        signal: new AbortController().signal,
        acceptEncoding: 'gzip',
      });
      const url = new URL(request.url);
      const body = await request.text();
      expect(request.method).toBe(expected['method']);
      expect(url.pathname).toBe(expected['path']);
      expect(Object.fromEntries(url.searchParams)).toEqual(expected['query']);
      expect(request.headers.get('Oversync-Source-ID')).toBe(expected['sourceHeader']);
      expect(body === '' ? null : JSON.parse(body)).toEqual(expected['body']);
      for (const text of asArray(expected['bodyMustNotContain'] ?? [])) expect(body).not.toContain(`"${asString(text)}"`);
    });
  }
});
