import { createTestDatabase } from '@oversync/dev-postgres/testing';
import postgres from 'postgres';
import { expect, test } from 'vitest';

import { createPostgresJsDatabase } from './drivers/postgres-js.ts';
import { tourServer } from './test-whole-server.ts';

test.each([false, true])('a whole server runs on postgres.js, with prepared statements: %s', async (preparedStatements) => {
  const database = await createTestDatabase();
  const sql = postgres(database.url, { max: 4, onnotice: () => {} });
  try {
    await expect(tourServer(createPostgresJsDatabase(sql, { preparedStatements }))).resolves.toBeUndefined();
  } finally {
    await sql.end({ timeout: 1 });
    await database.drop();
  }
});
