import { checkBundleRow, checkPushRow, checkSnapshotRow } from '@oversync/protocol';
import type { JsonValue } from '@oversync/protocol';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';

import { loadDocument } from './document.ts';
import { readJson } from './json-numbers.ts';
import { createSchemaChecker } from './schema-checker.ts';
import { accepts, ODD_VALUES, write } from './test-samples.ts';

const check = createSchemaChecker(loadDocument());

const mostly = (...valid: readonly string[]) =>
  fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...valid) }, { weight: 1, arbitrary: fc.constantFrom(...ODD_VALUES) });
const orNull = (arbitrary: fc.Arbitrary<string>) =>
  fc.oneof({ weight: 8, arbitrary }, { weight: 1, arbitrary: fc.constant('null') });

const name = mostly('"business"', '"users"');
const key = orNull(mostly('{"id":"user-1"}'));
const op = mostly('"INSERT"', '"UPDATE"', '"DELETE"');
const version = mostly('1', '7', '9223372036854775807');
const payload = orNull(mostly('{"id":"user-1"}', '{"id":"user-1","j":{"a":[1,2.5]}}', '{"id":"user-1","_sync_scope_id":"x"}'));

/** Rows with any members left out, and sometimes one more. */
function rows(members: Readonly<Record<string, fc.Arbitrary<string>>>, required: readonly string[]): fc.Arbitrary<string> {
  const all: Readonly<Record<string, fc.Arbitrary<string>>> = { ...members, more: fc.constant('1') };
  return fc.record(all, { requiredKeys: [...required] }).map((row) => write(row));
}

/** Document and checker say the same about every sample, and both sides of the answer occur. */
function expectAgreement(schema: string, checker: (json: JsonValue) => unknown, samples: fc.Arbitrary<string>): void {
  const seen = new Set<boolean>();
  fc.assert(
    fc.property(samples, (text) => {
      const isAccepted = accepts(checker, text);
      seen.add(isAccepted);
      expect(check(`#/components/schemas/${schema}`, readJson(text)).length === 0).toBe(isAccepted);
    }),
    { numRuns: 3000 },
  );
  expect(seen.size).toBe(2);
}

const common = ['schema', 'table', 'key'];

test('[D1] rows of bundles: document and checker agree', () => {
  const members = { schema: name, table: name, key, op, row_version: version, payload };
  expectAgreement('BundleRow', checkBundleRow, fc.oneof(rows(members, []), rows(members, [...common, 'op', 'row_version'])));
});

test('[D1] rows of snapshots: document and checker agree', () => {
  const members = { schema: name, table: name, key, row_version: version, payload };
  expectAgreement(
    'SnapshotRow',
    checkSnapshotRow,
    fc.oneof(rows(members, []), rows(members, [...common, 'row_version', 'payload'])),
  );
});

test('[D1] uploaded rows with the members of the contract: document and checker agree', () => {
  const members = { schema: name, table: name, key, op, base_row_version: mostly('0', '7'), payload };
  expectAgreement('PushRow', (json) => checkPushRow(json, 0), rows(members, ['schema', 'table', 'base_row_version']));
});
