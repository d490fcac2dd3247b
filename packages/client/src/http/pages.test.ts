import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { canonicalJson } from '@oversync/protocol';
import { canonicalPayloadText } from './canonical-payload.ts';
import { readCommittedPage } from './committed-page.ts';
import { readPullPage } from './pull-page.ts';
import { RowTextReader } from './row-text.ts';
import type { PullPagePart } from './pull-page.ts';
import { utf8Length } from '../rules/utf8-length.ts';
import { readSnapshotChunk } from './snapshot-chunk.ts';
import { bodyInPieces, bodyOf } from './test-bodies.ts';
import { openLocal } from '../store/test-local.ts';

const { schema } = await openLocal('CREATE TABLE users (id TEXT NOT NULL PRIMARY KEY, name TEXT)');

const bounds = { rowsMax: 2, bytesMax: 100_000, rowCharsMax: 10_000 };
const row = (id: string, extra = ''): string =>
  `{"schema":"main","table":"users","key":{"id":"${id}"},"op":"INSERT","row_version":1,"payload":{"id":"${id}","name":"Ada"}${extra}}`;
const bundle = (seq: number, ...rows: readonly string[]): string =>
  `{"bundle_seq":${seq},"source_id":"peer","source_bundle_id":${seq},"row_count":9,"bundle_hash":"h","rows":[${rows.join(',')}]}`;

/** A row has its values only where it was read in place. */
function withoutValues({ rows }: Extract<PullPagePart, { readonly rows: unknown }>): readonly unknown[] {
  return rows.map((row) => ({ ...row, values: undefined }));
}

async function partsOf(text: string, size = 7, used = bounds): Promise<readonly PullPagePart[]> {
  const parts: PullPagePart[] = [];
  for await (const part of readPullPage(bodyInPieces(text, size), schema, used)) parts.push(part);
  return parts;
}

describe('reading a pull page', () => {
  it('gives the ceiling, every bundle when it is complete, and the end', async () => {
    const parts = await partsOf(`{"stable_bundle_seq":9,"bundles":[${bundle(3, row('a'))},${bundle(9)}],"has_more":false}`);
    expect(parts.map((part) => part.kind)).toEqual(['stable', 'bundle', 'bundle', 'end']);
    expect(parts[1]).toMatchObject({
      bundleSeq: 3n,
      rowCount: 1,
      rows: [{ table: 'users', keyJson: '{"id":"a"}', rowVersion: 1n }],
    });
  });

  it('[T84] hands rows of a large bundle over before it is complete', async () => {
    const parts = await partsOf(
      `{"stable_bundle_seq":3,"bundles":[${bundle(3, row('a'), row('b'), row('c'))}],"has_more":false}`,
    );
    expect(parts[1]).toMatchObject({
      kind: 'spill',
      bundleSeq: 3n,
      firstRowOrdinal: 0,
      rows: [{ keyJson: '{"id":"a"}' }, { keyJson: '{"id":"b"}' }],
    });
    expect(parts[2]).toMatchObject({ kind: 'bundle', rowCount: 3, rows: [{ keyJson: '{"id":"c"}' }] });
  });

  it('reads members in any order', async () => {
    const reversed = `{"has_more":false,"bundles":[{"rows":[${row('a')}],"source_bundle_id":1,"source_id":"p","bundle_seq":1}],"stable_bundle_seq":1}`;
    expect((await partsOf(reversed)).map((part) => part.kind)).toEqual(['stable', 'bundle', 'end']);
  });

  it('gives the same parts however the text is cut', async () => {
    const page = `{ "stable_bundle_seq" : 5 , "bundles" : [ ${bundle(3, row('a\\"}]'), row('é😀'))} , ${bundle(5)} ] , "has_more" : false }`;
    const plain = (parts: readonly PullPagePart[]) =>
      parts.map((part) => ('rows' in part ? { ...part, rows: withoutValues(part) } : part));
    const whole = plain(await partsOf(page, page.length));
    for (let size = 1; size < 40; size += 1) expect(plain(await partsOf(page, size))).toEqual(whole);
  });

  it.each([
    ['a missing ceiling', '{"bundles":[],"has_more":false}'],
    ['a missing list', '{"stable_bundle_seq":0,"has_more":false}'],
    ['a missing has_more', '{"stable_bundle_seq":0,"bundles":[]}'],
    ['a null list', '{"stable_bundle_seq":0,"bundles":null,"has_more":false}'],
    ['a ceiling with a fraction', '{"stable_bundle_seq":1.0,"bundles":[],"has_more":false}'],
    ['a ceiling as string', '{"stable_bundle_seq":"1","bundles":[],"has_more":false}'],
    ['a ceiling above int64', '{"stable_bundle_seq":9223372036854775808,"bundles":[],"has_more":false}'],
    ['a double member', '{"stable_bundle_seq":0,"stable_bundle_seq":0,"bundles":[],"has_more":false}'],
    ['a double member in a bundle', `{"stable_bundle_seq":1,"bundles":[{"bundle_seq":1,"bundle_seq":1}],"has_more":false}`],
    ['text after the page', '{"stable_bundle_seq":0,"bundles":[],"has_more":false} x'],
    ['an early end', `{"stable_bundle_seq":1,"bundles":[${bundle(1, row('a'))}`],
    [
      'a bundle without rows',
      '{"stable_bundle_seq":1,"bundles":[{"bundle_seq":1,"source_id":"p","source_bundle_id":1}],"has_more":false}',
    ],
    [
      'a blank source',
      '{"stable_bundle_seq":1,"bundles":[{"bundle_seq":1,"source_id":" ","source_bundle_id":1,"rows":[]}],"has_more":false}',
    ],
    [
      'source bundle 0',
      '{"stable_bundle_seq":1,"bundles":[{"bundle_seq":1,"source_id":"p","source_bundle_id":0,"rows":[]}],"has_more":false}',
    ],
    [
      'version 0',
      `{"stable_bundle_seq":1,"bundles":[${bundle(1, row('a').replace('"row_version":1', '"row_version":0'))}],"has_more":false}`,
    ],
    ['an unknown op', `{"stable_bundle_seq":1,"bundles":[${bundle(1, row('a').replace('INSERT', 'UPSERT'))}],"has_more":false}`],
    [
      'a key of two columns',
      `{"stable_bundle_seq":1,"bundles":[${bundle(1, row('a').replace('"key":{', '"key":{"b":"1",'))}],"has_more":false}`,
    ],
    [
      'a numeric key',
      `{"stable_bundle_seq":1,"bundles":[${bundle(1, row('a').replace('"key":{"id":"a"}', '"key":{"id":1}'))}],"has_more":false}`,
    ],
    [
      'a double payload member',
      `{"stable_bundle_seq":1,"bundles":[${bundle(1, row('a').replace('"name"', '"id":"x","name"'))}],"has_more":false}`,
    ],
    [
      'a doubled escaped member',
      `{"stable_bundle_seq":1,"bundles":[${bundle(1, row('a').replace('"name"', '"\\u0069d":"x","name"'))}],"has_more":false}`,
    ],
    [
      'an unpaired surrogate',
      `{"stable_bundle_seq":1,"bundles":[${bundle(1, row('a').replace('Ada', '\\ud800'))}],"has_more":false}`,
    ],
    [
      'a raw control character',
      `{"stable_bundle_seq":1,"bundles":[${bundle(1, row('a').replace('Ada', '\u0001'))}],"has_more":false}`,
    ],
    ['a bad escape', `{"stable_bundle_seq":1,"bundles":[${bundle(1, row('a').replace('Ada', '\\x'))}],"has_more":false}`],
    [
      'an INSERT without payload',
      `{"stable_bundle_seq":1,"bundles":[${bundle(1, row('a').replace(/,"payload".*$/, '}'))}],"has_more":false}`,
    ],
    [
      'a DELETE with payload',
      `{"stable_bundle_seq":1,"bundles":[${bundle(1, row('a').replace('INSERT', 'DELETE'))}],"has_more":false}`,
    ],
  ])('[T76] refuses %s', async (_name, page) => {
    await expect(partsOf(page)).rejects.toMatchObject({ code: 'protocol_violation' });
  });

  it('[T76] refuses the hidden scope column', async () => {
    const hidden = row('a').replace('"name"', '"_sync_scope_id":"s","name"');
    await expect(
      partsOf(`{"stable_bundle_seq":1,"bundles":[${bundle(1, row('a'), hidden)}],"has_more":false}`),
    ).rejects.toMatchObject({
      details: { reason: 'hidden_column' },
    });
  });

  it('accepts null as the payload of a DELETE, and members it does not know', async () => {
    const deleted = `{"schema":"main","table":"users","key":{"id":"a"},"op":"DELETE","row_version":2,"payload":null,"future":[1,{"x":2}]}`;
    const parts = await partsOf(`{"stable_bundle_seq":1,"future":{"a":[]},"bundles":[${bundle(1, deleted)}],"has_more":false}`);
    expect(parts[1]).toMatchObject({ rows: [{ op: 'DELETE', payload: null }] });
  });

  it('bounds the text of a row', async () => {
    const long = `{"stable_bundle_seq":1,"bundles":[${bundle(1, row('x'.repeat(20_000)))}],"has_more":false}`;
    await expect(partsOf(long, 64)).rejects.toMatchObject({ code: 'response_too_large' });
  });
});

describe('reading a committed page', () => {
  const page = `{"bundle_seq":143,"source_id":"d","source_bundle_id":7,"row_count":2,"bundle_hash":"h","canonical_request_hash":"c","rows":[${row('a')},${row('b')}],"next_row_ordinal":1,"has_more":false}`;

  it('gives envelope and rows', async () => {
    const read = await readCommittedPage(bodyInPieces(page, 5), 10_000);
    expect(read).toMatchObject({ bundleSeq: 143n, sourceBundleId: 7n, rowCount: 2, nextRowOrdinal: 1, hasMore: false });
    expect(read.rows.map(({ keyValue }) => keyValue)).toEqual(['a', 'b']);
  });

  it.each([
    'bundle_seq',
    'source_id',
    'source_bundle_id',
    'row_count',
    'bundle_hash',
    'canonical_request_hash',
    'next_row_ordinal',
    'has_more',
  ])('[T53] refuses a page without %s', async (name) => {
    await expect(readCommittedPage(bodyOf(page.replace(`"${name}"`, `"${name}_"`)), 10_000)).rejects.toMatchObject({
      code: 'protocol_violation',
    });
  });
});

describe('[T87] reading a snapshot chunk', () => {
  const rowText =
    '{"schema":"main","table":"users","key":{"id":"user-1"},"row_version":7,"payload":{"id":"user-1","name":"Ada é"}}';
  const chunk = `{"snapshot_id":"s","snapshot_bundle_seq":7,"rows":[${rowText}],"next_row_ordinal":1,"has_more":false,"byte_count":113}`;

  it('measures the row texts as they stand', async () => {
    expect(await readSnapshotChunk(bodyInPieces(chunk, 9), schema, 200)).toMatchObject({
      measuredByteCount: 113,
      byteCount: 113,
    });
    const spaced = chunk.replace('"row_version":7', '"row_version" : 7').replace('}}],', '}} ,').replace('}} ,', '}}],');
    expect((await readSnapshotChunk(bodyOf(spaced), schema, 200)).measuredByteCount).toBe(115);
  });

  it.each([
    ['one member more in the chunk', chunk.replace('"has_more"', '"x":1,"has_more"')],
    ['one member less in the chunk', chunk.replace(',"byte_count":113', '')],
    ['one member more in a row', chunk.replace('"row_version"', '"op":"INSERT","row_version"')],
    ['one member less in a row', chunk.replace('"row_version":7,', '')],
    ['a row above the limit', chunk.replace('Ada', 'A'.repeat(100))],
    ['version 0', chunk.replace('"row_version":7', '"row_version":0')],
  ])('refuses %s', async (_name, text) => {
    await expect(readSnapshotChunk(bodyOf(text), schema, 120)).rejects.toMatchObject({
      code: expect.stringMatching(/^(protocol_violation|response_too_large)$/),
    });
  });

  it('counts bytes as UTF-8 does', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(utf8Length(text)).toBe(new TextEncoder().encode(text).length);
      }),
    );
  });
});

describe('canonical payload text', () => {
  it('is the same with and without the shortcut', () => {
    const value = fc.oneof(
      fc.string({ unit: 'grapheme' }),
      fc.constant(null),
      fc.boolean(),
      fc.constantFrom('a"b', 'a\\b', '\n', '\u0000', '\u2028'),
    );
    fc.assert(
      fc.property(
        fc.dictionary(fc.stringMatching(/^[a-z_][a-z0-9_]{0,8}$/), value, { maxKeys: 6 }),
        fc.boolean(),
        (payload, spaced) => {
          const text = spaced ? JSON.stringify(payload, null, 1) : JSON.stringify(payload);
          const reader = new RowTextReader();
          const head = '{"schema":"m","table":"t","key":{"id":';
          const read = (id: string) => reader.bundleRow(`${head}"${id}"},"op":"INSERT","row_version":1,"payload":${text}}`);
          for (const id of ['a', 'b', 'c']) expect(canonicalPayloadText(read(id))).toBe(canonicalJson(payload));
        },
      ),
    );
  });

  it('rewrites numbers, escapes and order', () => {
    expect(canonicalPayloadText({ payload: '{"b":{"y":1.0,"x":[1e2]},"a":"\\u0041\\/"}', isCanonical: false })).toBe(
      '{"a":"A/","b":{"x":[100],"y":1}}',
    );
  });
});
