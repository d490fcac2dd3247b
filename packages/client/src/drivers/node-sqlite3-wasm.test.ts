import { describe, expect, test } from 'vitest';

import { sqliteDriverChecks } from '../testing/index.ts';
import { createNodeSqlite3WasmDriver } from './node-sqlite3-wasm.ts';

describe('node-sqlite3-wasm keeps the contract of drivers', () => {
  for (const check of sqliteDriverChecks) {
    test(`[T119] ${check.name}`, async () => {
      const driver = createNodeSqlite3WasmDriver(':memory:');
      await expect(check.run(driver)).resolves.toBeUndefined();
      driver.close();
    });
  }
});
