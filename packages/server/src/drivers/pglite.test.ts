import { PGlite } from '@electric-sql/pglite';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { postgresConformance } from '../testing/index.ts';
import { createPgliteDatabase } from './pglite.ts';

let pglite: PGlite;
beforeAll(async () => {
  pglite = await PGlite.create();
});
afterAll(() => pglite.close());

test.each(postgresConformance)('$name', async ({ run }) => {
  await expect(run(createPgliteDatabase(pglite))).resolves.toBeUndefined();
});
