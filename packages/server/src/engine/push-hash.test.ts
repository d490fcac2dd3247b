import { createSha256 } from '@oversync/protocol';
import { describe, expect, it } from 'vitest';

import { encodeText } from '../rules/utf8-pieces.ts';
import { hashCanonicalLines, RunningHashes } from './push-hash.ts';

const ROWS = ['{"a":"é"}', '{"b":"\u{1F600}"}', '{}'];

function hashOf(rows: readonly string[]): string {
  const hash = createSha256();
  hash.update(`[${rows.join(',')}]`);
  return hash.digestHex();
}

async function* cut(text: string, size: number): AsyncGenerator<Uint8Array> {
  const bytes = new TextEncoder().encode(text);
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size);
}

describe('the hash of rows that arrive as lines', () => {
  it('does not depend on where the lines are cut', async () => {
    const text = `${ROWS.join('\n')}\n`;
    for (let size = 1; size <= text.length + 5; size += 1) {
      expect(await hashCanonicalLines(cut(text, size), createSha256)).toBe(hashOf(ROWS));
    }
  });
});

describe('the running hash of a session', () => {
  it('is known once every row has passed, and only then', () => {
    const hashes = new RunningHashes(createSha256);
    hashes.addChunk('p', 0, encodeText(ROWS.slice(0, 2).join(',')), 2);
    expect(hashes.getDigest('p', 3)).toBeUndefined();
    hashes.addChunk('p', 2, encodeText(ROWS[2] ?? ''), 1);
    expect(hashes.getDigest('p', 3)).toBe(hashOf(ROWS));
    expect(hashes.getDigest('p', 3)).toBe(hashOf(ROWS));
    expect(hashes.getDigest('q', 3)).toBeUndefined();
  });

  it('is forgotten when a chunk passed elsewhere', () => {
    const hashes = new RunningHashes(createSha256);
    hashes.addChunk('p', 0, encodeText(ROWS[0] ?? ''), 1);
    hashes.addChunk('p', 2, encodeText(ROWS[2] ?? ''), 1);
    expect(hashes.getDigest('p', 3)).toBeUndefined();
    expect(hashes.getDigest('p', 1)).toBeUndefined();
  });

  it('of the longest unused session makes room for a new one', () => {
    const hashes = new RunningHashes(createSha256);
    for (let index = 0; index <= 1024; index += 1) hashes.addChunk(`p${index}`, 0, encodeText('{}'), 1);
    expect(hashes.getDigest('p0', 1)).toBeUndefined();
    expect(hashes.getDigest('p1', 1)).toBe(hashOf(['{}']));
  });
});
