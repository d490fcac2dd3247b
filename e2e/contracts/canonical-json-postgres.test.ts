import { isJsonObject, parseJson } from '@oversync/protocol';
import type { JsonObject, JsonValue } from '@oversync/protocol';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { BundleWriter } from '../../packages/server/src/test-bundles.ts';
import { openPgFixture } from '../../packages/server/src/test-pg.ts';
import type { PgFixture } from '../../packages/server/src/test-pg.ts';
import { hasContracts, loadFixtures } from './fixtures.ts';

/** One value as a client uploads it, the column that takes it, and what the server serves afterwards. */
interface ValueCase {
  readonly name: string;
  readonly type: string;
  readonly uploaded: string;
  readonly committed: JsonValue;
}

function readCases(path: string): readonly ValueCase[] {
  const content = parseJson(readFileSync(path, 'utf8'), { depthMax: 20 });
  if (!isJsonObject(content)) throw new TypeError('object expected in the fixture');
  return Object.entries(content)
    .filter(([name]) => name.endsWith('_cases') && name !== 'replay_cases' && name !== 'invalid_cases')
    .flatMap(([, list]) => (Array.isArray(list) ? list.filter(isJsonObject) : []))
    .filter((entry) => typeof entry['postgres_destination'] === 'string')
    .map(readCase);
}

function readCase(entry: JsonObject): ValueCase {
  const { name, postgres_destination: type, uploaded_wire: uploaded, committed_server: committed } = entry;
  if (typeof name !== 'string' || typeof type !== 'string' || typeof uploaded !== 'string' || committed === undefined) {
    throw new TypeError('a value case of the fixture lacks a member');
  }
  return { name, type, uploaded, committed };
}

describe.skipIf(!hasContracts).each(loadFixtures('canonical-json'))('[C2] values of $name in a real PostgreSQL', ({ path }) => {
  const cases = readCases(path);
  let pg: PgFixture;
  let payload: Record<string, unknown>;

  beforeAll(async () => {
    pg = await openPgFixture();
    const columns = cases.map((entry, index) => `v${String(index)} ${entry.type}`).join(', ');
    await pg.run(
      `CREATE TABLE public.numeric_values (_sync_scope_id text NOT NULL, id text NOT NULL, ${columns}, PRIMARY KEY (_sync_scope_id, id))`,
    );
    const { catalog } = await pg.bootstrap([{ table: 'numeric_values', syncKeyColumn: 'id' }]);
    const writer = new BundleWriter(pg, catalog);
    const values = cases.map((entry, index) => `$${String(index + 1)}::${entry.type}`).join(', ');
    const { bundleSeq } = await writer.write({ scopeId: 'contract' }, (tx) =>
      tx.query(
        `INSERT INTO public.numeric_values SELECT 'contract', 'n-1', ${values}`,
        cases.map((entry) => entry.uploaded),
      ),
    );
    const [row] = await writer.rows('contract', bundleSeq);
    payload = row?.['payload'] as Record<string, unknown>;
  });
  afterAll(() => pg.close());

  it('has cases', () => {
    expect(cases.length).toBeGreaterThan(10);
  });

  it.each(cases.map((entry, index) => ({ ...entry, index })))('$name comes back as $committed', ({ index, committed }) => {
    expect(payload[`v${String(index)}`]).toEqual(committed);
  });
});

if (!hasContracts) it.skip('needs the fixtures', () => undefined);
