import { readdirSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import { CONTRACTS_FOLDER, hasContracts } from './fixtures.ts';

/** The folders that the suites beside this file take every file from. */
const TAKEN: readonly RegExp[] = [
  /^canonical-json\/[^/]+\.json$/,
  /^invalidation\/behavior\/[^/]+\.json$/,
  /^lifecycle\/behavior\/[^/]+\.json$/,
  /^local-schema\/[^/]+\.json$/,
  /^local-schema\/[^/]+\/(config|schema\.expected|write-transitions|write-transitions\.expected)\.json$/,
  /^local-schema\/[^/]+\/schema\.sql$/,
  /^protocol-handshake\/[^/]+\.json$/,
  /^protocol-http\/[^/]+\.json$/,
  /^pull-snapshot\/[^/]+\.json$/,
  /^pull-snapshot\/behavior\/[^/]+\.json$/,
  /^push\/[^/]+\.json$/,
  /^push\/behavior\/[^/]+\.json$/,
  /^rich-schema\/[^/]+\.json$/,
  /^runtime-state\/schema\/[^/]+\.json$/,
  /^runtime-state\/transitions\/[^/]+\.json$/,
  /^snapshot-capacity\/[^/]+\.json$/,
  /^watch\/[^/]+\.json$/,
  /^watch\/behavior\/[^/]+\.json$/,
];

const NO_FIXTURES = new Set(['LICENSE', 'README.md']);

function files(): readonly string[] {
  return readdirSync(CONTRACTS_FOLDER, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !NO_FIXTURES.has(entry.name))
    .map((entry) => `${entry.parentPath}/${entry.name}`.slice(CONTRACTS_FOLDER.length).replaceAll('\\', '/').replace(/^\/+/, ''))
    .sort();
}

describe.skipIf(!hasContracts)('contract fixtures', () => {
  it('no file lies where no suite looks', () => {
    const found = files();
    expect(found.length).toBeGreaterThan(0);
    expect(found.filter((file) => !TAKEN.some((pattern) => pattern.test(file)))).toEqual([]);
  });
});
