import { describe, expect, test } from 'vitest';

import { PROOFS_SKIPPED_MAX } from '../limits.ts';
import { openLocal } from '../store/test-local.ts';
import { ProofMemory } from './proof-memory.ts';

/** Bundles until the next try, that one not counted. */
function pause(memory: ProofMemory): number {
  let skipped = 0;
  while (!memory.isDue()) skipped += 1;
  return skipped;
}

describe('what is remembered about proofs', () => {
  test('each failure in a row doubles the pause, up to a limit', () => {
    const memory = new ProofMemory();
    const pauses = Array.from({ length: 9 }, () => {
      memory.noteMissed();
      return pause(memory);
    });
    expect(pauses).toEqual([0, 1, 3, 7, 15, 31, PROOFS_SKIPPED_MAX, PROOFS_SKIPPED_MAX, PROOFS_SKIPPED_MAX]);
  });

  test('a success begins anew', () => {
    const memory = new ProofMemory();
    for (const _ of [1, 2, 3]) memory.noteMissed();
    expect(pause(memory)).toBe(3);
    memory.noteProved();
    memory.noteMissed();
    expect(pause(memory)).toBe(0);
  });

  test('so does learning how a server spells a column', async () => {
    const { schema } = await openLocal('CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, n INTEGER)');
    const [table] = schema.tables;
    if (table === undefined) throw new Error('no table');
    const memory = new ProofMemory();
    for (const _ of [1, 2, 3]) memory.noteMissed();
    memory.learn(table, '{"id":"x","n":"1"}');
    expect(memory.isDue()).toBe(false);
    memory.learn(table, '{"id":"x","n":true}');
    expect(memory.isDue()).toBe(true);
    expect(memory.formOf(table).of('{"id":"x","n":"0"}')).toBe('{"id":"x","n":false}');
  });
});
