import { describe, expect, test } from 'vitest';

import { sqliteDriverChecks } from '../testing/index.ts';
import { createBetterSqlite3Driver } from './better-sqlite3.ts';

describe('better-sqlite3 keeps the contract of drivers', () => {
  for (const check of sqliteDriverChecks) {
    test(`[T119] ${check.name}`, async () => {
      const driver = createBetterSqlite3Driver(':memory:');
      await expect(check.run(driver)).resolves.toBeUndefined();
      driver.close();
    });
  }
});
