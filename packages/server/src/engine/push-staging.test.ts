import { isSyncError, parseJsonBytes, SyncError } from '@oversync/protocol';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { FlatChunk, readFlatHead } from '../rules/flat-chunk.ts';
import { createCatalog } from '../rules/test-table.ts';
import { ReceivedChunk, StagingCopy } from './push-staging.ts';
import type { StagingContext } from './push-staging.ts';
import { DOCS, EVERYTHING, formatRow, MEMBERS, PLACES, chunkTexts } from './test-chunk-texts.ts';

const CATALOG = createCatalog(EVERYTHING, PLACES, DOCS);
const SETTINGS = { catalog: CATALOG, scopeId: 'scope "1" \\ é', rowsMax: 16, rowBytesMax: 700 };
const CONTEXT: StagingContext = {
  options: { maxRowsPerPushChunk: SETTINGS.rowsMax, maxBytesPerSnapshotRow: SETTINGS.rowBytesMax },
  catalog: () => CATALOG,
};
const PUSH_ID = '2f2d3f7a-cd1f-42b9-8d08-c4d2b45d9f88';

function parse(bytes: Uint8Array): ReturnType<typeof parseJsonBytes> {
  try {
    return parseJsonBytes(bytes, { depthMax: 100 });
  } catch (cause) {
    throw new SyncError('invalid_request', { cause });
  }
}

/** Everything that staging makes of a chunk, or what it is refused with. */
function stage(bytes: Uint8Array, isInPlace: boolean): unknown {
  const head = isInPlace ? readFlatHead(bytes) : undefined;
  const flat = head === undefined ? undefined : { ...head, bytes };
  try {
    const copy = new StagingCopy(CONTEXT, SETTINGS, new ReceivedChunk(PUSH_ID, bytes, parse), {
      scopePk: '7',
      catalog: CATALOG,
      flat,
    });
    const sent = Buffer.concat([...copy.input()]).toString('latin1');
    const { canonical, ...facts } = copy.finish();
    return { sent, ...facts, canonical: Buffer.concat(canonical.pieces).toString(), byteLength: canonical.byteLength };
  } catch (error) {
    if (isSyncError(error)) return { code: error.code, message: error.message, details: error.details };
    throw error;
  }
}

/** Rows that are taken in place. */
function countFlatRows(bytes: Uint8Array): number {
  const head = readFlatHead(bytes);
  if (head === undefined) return 0;
  const chunk = new FlatChunk(bytes, head, SETTINGS);
  while (chunk.next() !== undefined);
  return chunk.rowCount;
}

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('a chunk that is read in place', () => {
  it('gives the same rows, texts and refusals as one that is parsed', () => {
    let flatRows = 0;
    let acceptedChunks = 0;
    const property = fc.property(fc.noBias(chunkTexts), (text) => {
      const bytes = encode(text);
      flatRows += countFlatRows(bytes);
      const staged = stage(bytes, false);
      if (typeof staged === 'object' && staged !== null && 'sent' in staged) acceptedChunks += 1;
      expect(stage(bytes, true)).toEqual(staged);
    });
    fc.assert(property, { numRuns: 2000 });
    expect(flatRows).toBeGreaterThan(1000);
    expect(acceptedChunks).toBeGreaterThan(300);
  });

  it('is judged the same when any of its bytes is another one, missing or doubled', () => {
    const rows = ['a', 'b', 'c'].map((id) =>
      formatRow(
        {
          table: 'everything',
          op: 'INSERT',
          columns: ['big', 'exact', 'flag', 'name', 'ratio'],
          hasKeyInPayload: true,
          version: '7',
          order: MEMBERS,
        },
        `"${id}"`,
        ['"-12"', '"3.50"', 'true', '"é \\"x\\" \\\\ \\n"', '"0.25"'],
      ),
    );
    const sound = encode(`{"start_row_ordinal":3,"rows":[${rows.join(',')}]}`);
    expect(countFlatRows(sound)).toBe(3);
    const places = fc.tuple(
      fc.nat({ max: sound.length - 1 }),
      fc.constantFrom('replace', 'remove', 'double'),
      fc.oneof(fc.nat({ max: 255 }), fc.constantFrom(...Buffer.from('"\\{}[],: 0-.ent'))),
    );
    const property = fc.property(places, ([at, change, byte]) => {
      const behind =
        change === 'replace'
          ? [byte, ...sound.subarray(at + 1)]
          : change === 'remove'
            ? sound.subarray(at + 1)
            : sound.subarray(at);
      const bytes = Uint8Array.from([...sound.subarray(0, change === 'double' ? at + 1 : at), ...behind]);
      expect(stage(bytes, true)).toEqual(stage(bytes, false));
    });
    fc.assert(property, { numRuns: 4000 });
  });

  it.each([
    ['white space behind it', (text: string) => `${text}\n`],
    ['another member behind its rows', (text: string) => text.replace(/\]\}$/, '],"more":1}')],
    ['a second member of the same name', (text: string) => text.replace(/\]\}$/, '],"rows":[]}')],
    ['more rows than allowed', (text: string) => text.replace(/\]\}$/, `${',{}'.repeat(16)}]}`)],
    ['a byte order mark', (text: string) => `\ufeff${text}`],
    ['nothing at its end', (text: string) => text.slice(0, -1)],
    ['a row that has a member twice', (text: string) => text.replace('"op"', '"op":"UPDATE","op"')],
    ['a payload that has a member twice', (text: string) => text.replace('"name"', '"name":"y","name"')],
  ])('is judged as a whole although its first rows are sound, with %s', (_, change) => {
    const row = (id: string): string =>
      `{"schema":"business","table":"everything","key":{"id":"${id}"},"op":"INSERT","base_row_version":0,"payload":{"name":"x"}}`;
    const bytes = encode(change(`{"start_row_ordinal":0,"rows":[${row('a')},${row('b')}]}`));
    expect(stage(bytes, true)).toEqual(stage(bytes, false));
  });

  it('names a row of a key that came before, in this spelling or another', () => {
    const row = (key: string): string =>
      `{"schema":"business","table":"everything","key":{"id":${key}},"op":"DELETE","base_row_version":1}`;
    for (const second of ['"key"', '"\\u006bey"']) {
      const bytes = encode(`{"start_row_ordinal":0,"rows":[${row('"key"')},${row('"other"')},${row(second)}]}`);
      expect(countFlatRows(bytes)).toBe(2);
      expect(stage(bytes, true)).toMatchObject({
        code: 'push_chunk_invalid',
        details: { violation: { kind: 'duplicate_row', row_ordinal: 2 } },
      });
    }
  });

  it('keeps rows that are longer than a piece of the copy whole', () => {
    const wide = { ...CONTEXT, options: { ...CONTEXT.options, maxBytesPerSnapshotRow: 10_000_000 } };
    const row = (id: string, name: string): string =>
      `{"schema":"business","table":"everything","key":{"id":"${id}"},"op":"INSERT","base_row_version":0,"payload":{"name":"${name}"}}`;
    const bytes = encode(
      `{"start_row_ordinal":0,"rows":[${row('a', 'x')},${row('b', 'é\\n'.repeat(200_000))},${row('c', 'y')}]}`,
    );
    const read = (isInPlace: boolean): string => {
      const head = isInPlace ? readFlatHead(bytes) : undefined;
      const flat = head === undefined ? undefined : { ...head, bytes };
      const copy = new StagingCopy(wide, SETTINGS, new ReceivedChunk(PUSH_ID, bytes, parse), {
        scopePk: '7',
        catalog: CATALOG,
        flat,
      });
      const sent = Buffer.concat([...copy.input()]).toString('latin1');
      return sent + Buffer.concat(copy.finish().canonical.pieces).toString();
    };
    expect(read(true) === read(false)).toBe(true);
  });
});
