import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { committedRowText, createSha256, isJsonObject, parseJson, requestRowText, RowHasher } from '../index.ts';
import type { JsonObject, Sha256Factory } from '../index.ts';

const nodeSha256: Sha256Factory = () => {
  const hash = createHash('sha256');
  return { update: (data) => void hash.update(data), digestHex: () => hash.digest('hex') };
};

function object(text: string): JsonObject {
  const value = parseJson(text, { depthMax: 10 });
  if (!isJsonObject(value)) throw new TypeError('not an object');
  return value;
}

function hash(rows: readonly string[], factory?: Sha256Factory): { digest: string; bytes: bigint } {
  const hasher = new RowHasher(factory);
  for (const row of rows) hasher.addRow(row);
  return { digest: hasher.digestHex(), bytes: hasher.byteCount };
}

describe('[T42] row hashes', () => {
  const payload = object('{"age":"36","id":"user-1","name":"Ada <b>","score":"1.5"}');
  const names = { schema: 'main', table: 'users' };

  it('give the request hash of the worked example', () => {
    const rows = [
      requestRowText({ ...names, key: object('{"id":"user-1"}'), op: 'INSERT', base_row_version: 0n, payload }, 0),
      requestRowText({ ...names, key: object('{"id":"user-2"}'), op: 'DELETE', base_row_version: 4n }, 1),
    ];
    expect(hash(rows).digest).toBe('a3338775c22c2251995c390654bb36fe45dce751bb7d7bfeccbf977c989db3c3');
  });

  it('give the bundle hash of the worked example, whatever makes the digest', () => {
    const rows = [
      committedRowText({ ...names, key: object('{"id":"user-1"}'), op: 'INSERT', row_version: 9n, payload }, 0),
      committedRowText({ ...names, key: object('{"id":"user-2"}'), op: 'DELETE', row_version: 9n, payload: null }, 1n),
    ];
    expect(hash(rows).digest).toBe('019fbc1d71b098c57eb3ecdabb4f6463ea9284524e13669445573bb179dbdc38');
    expect(hash(rows, nodeSha256)).toEqual(hash(rows));
  });

  it('canonicalise escapes and json columns as the third vector says', () => {
    const uploaded = object(
      String.raw`{"doc_id":"d<1>","body":"a & b \u2028 \u000b ` +
        '\u007f' +
        String.raw` é 😀","j":{"b":[1,2.0,9007199254740993,1e21,-0],"a":{},"\ue000":1,"\ud83d\ude00":2},"ok":true}`,
    );
    const row = committedRowText(
      { schema: 'business', table: 'docs', key: object('{"doc_id":"d<1>"}'), op: 'UPDATE', row_version: 42n, payload: uploaded },
      0,
    );
    expect(hash([row])).toEqual({ digest: '7c24d3c365d8a2d4e6db6eeb5c6c2cd8cbdc0a225c8926b6b3319250d771d9df', bytes: 252n });
  });

  it('splice a payload text that is already canonical', () => {
    const row = { ...names, key: '{"id":"user-1"}', op: 'INSERT', base_row_version: 0n } as const;
    const text = '{"age":"36","id":"user-1","name":"Ada <b>","score":"1.5"}';
    expect(requestRowText({ ...row, payload: text }, 0)).toBe(requestRowText({ ...row, payload }, 0));
  });

  it('do not depend on how rows are grouped, and count bytes like an encoder', () => {
    const rows = Array.from({ length: 3000 }, (_, index) => `{"n":"${'😀é'.repeat(index % 40)}${index}"}`);
    const grouped = new RowHasher();
    for (let start = 0; start < rows.length; start += 250) grouped.addRows(rows.slice(start, start + 250).join(','), 250);
    const whole = new TextEncoder().encode(`[${rows.join(',')}]`);
    const expected = { digest: createHash('sha256').update(whole).digest('hex'), bytes: BigInt(whole.length) };
    expect(grouped.byteCount).toBe(expected.bytes);
    expect(grouped.digestHex()).toBe(expected.digest);
    expect(grouped.rowCount).toBe(3000);
    expect(hash(rows)).toEqual(expected);
  });

  it('hash a text longer than a piece without cutting a surrogate pair', () => {
    const text = `x${'😀'.repeat(100_000)}`;
    const own = createSha256();
    own.update(text);
    expect(own.digestHex()).toBe(createHash('sha256').update(text).digest('hex'));
  });

  it('of no rows is the hash of an empty array', () => {
    expect(hash([])).toEqual({ digest: createHash('sha256').update('[]').digest('hex'), bytes: 2n });
  });

  it('refuse rows after the digest', () => {
    const hasher = new RowHasher();
    hasher.digestHex();
    expect(() => hasher.addRow('{}')).toThrow(TypeError);
  });
});
