import { expect, test } from 'vitest';

import { formatNoticePayload, parseNoticePayload } from './notice-payload.ts';

const payload = {
  scopePk: '9223372036854775807',
  bundleSeq: 9007199254740993n,
  sourceId: '!'.repeat(256),
  sourceBundleId: 9223372036854775807n,
};

test('[S2] a notification keeps 64-bit numbers and stays far below the limit of PostgreSQL', () => {
  const text = formatNoticePayload(payload);
  expect(parseNoticePayload(text)).toStrictEqual(payload);
  expect(text.length).toBeLessThan(500);
});

test('[S2] the longest source id with characters that JSON escapes still fits', () => {
  const text = formatNoticePayload({ ...payload, sourceId: '"'.repeat(256) });
  expect(Buffer.byteLength(text)).toBeLessThan(8000);
  expect(parseNoticePayload(text)?.sourceId).toBe('"'.repeat(256));
});

test.each([
  '',
  'nonsense',
  '[]',
  '{}',
  '{"scope_pk":1,"bundle_seq":0,"source_id":"a","source_bundle_id":1}',
  '{"scope_pk":1,"bundle_seq":"1","source_id":"a","source_bundle_id":1}',
  '{"scope_pk":1,"bundle_seq":1,"source_id":"with space","source_bundle_id":1}',
  '{"scope_pk":1.5,"bundle_seq":1,"source_id":"a","source_bundle_id":1}',
])('the foreign notification %s is ignored', (text) => {
  expect(parseNoticePayload(text)).toBeUndefined();
});
