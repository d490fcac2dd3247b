import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { createTestDatabase, type TestDatabase } from '@oversync/dev-postgres/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { runKillTest } from './kill-run.ts';

let database: TestDatabase;
let folder: string;

beforeAll(async () => {
  database = await createTestDatabase();
  folder = await mkdtemp(join(tmpdir(), 'oversync-kill-test-'));
});

afterAll(async () => {
  await database.drop();
  await rm(folder, { recursive: true, force: true });
});

describe('processes killed in the middle of the story', () => {
  it('lose, double and corrupt nothing: every copy ends equal to what the edits must give', { timeout: 180_000 }, async () => {
    const lines: string[] = [];
    const options = { kills: 4, rows: 2000, seed: 20_261_124, folder, databaseUrl: database.url };
    const result = await runKillTest({ ...options, log: (line) => lines.push(line) }).catch((error: unknown) => {
      throw new Error(lines.join('\n'), { cause: error });
    });
    expect(result.kills).toHaveLength(4);
    expect(new Set(result.kills.map((kill) => kill.victim))).toEqual(new Set(['devices', 'server']));
    expect(result.rounds).toBeGreaterThanOrEqual(1);
  });
});
