import sqlite3InitModule from '@sqlite.org/sqlite-wasm';
import { describe, expect, test } from 'vitest';

import { sqliteDriverChecks } from '../testing/index.ts';
import { createSqliteWasmDriver } from './sqlite-wasm.ts';

const sqlite3 = await sqlite3InitModule();

describe('the official WASM build keeps the contract of drivers', () => {
  for (const check of sqliteDriverChecks) {
    test(`[T119] ${check.name}`, async () => {
      const driver = createSqliteWasmDriver({ sqlite3 });
      await expect(check.run(driver)).resolves.toBeUndefined();
      driver.close();
    });
  }
});
