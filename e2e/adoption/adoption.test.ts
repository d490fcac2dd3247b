import { createTestDatabase } from '@oversync/dev-postgres/testing';
import { expect, test } from 'vitest';

import { runAdoptionTest } from './adoption-run.ts';

test('[C6] adoption that is killed again and again gives every scope one complete baseline and changes no row', async () => {
  const database = await createTestDatabase();
  try {
    const { scopesAtKill, scopesInLastRun } = await runAdoptionTest({
      databaseUrl: database.url,
      rows: 20_000,
      scopes: 100,
      kills: 3,
      log: () => undefined,
    });
    expect(scopesAtKill).toHaveLength(3);
    expect(scopesInLastRun).toBe(100 - (scopesAtKill.at(-1) ?? 0));
    expect(scopesAtKill.at(-1)).toBeGreaterThan(0);
  } finally {
    await database.drop();
  }
});
