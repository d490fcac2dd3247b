import { encodeErrorBody, ERROR_TABLE, isWireErrorCode, stringifyJson, SyncError } from '@oversync/protocol';
import type { WireErrorCode } from '@oversync/protocol';
import { describe, expect, test } from 'vitest';

import { getErrorSchemaName } from '../../scripts/openapi/errors.ts';
import { listOperations, loadDocument } from './document.ts';
import { readJson } from './json-numbers.ts';
import { createSchemaChecker } from './schema-checker.ts';

const document = loadDocument();
const check = createSchemaChecker(document);
const codes: readonly WireErrorCode[] = Object.keys(ERROR_TABLE).filter(isWireErrorCode);

const violation = {
  kind: 'unique',
  schema: 'business',
  table: 'users',
  constraint: 'users_email_key',
  row_ordinal: 3n,
  key: { id: 'a' },
};
const conflict = {
  schema: 'business',
  table: 'users',
  key: { id: 'a' },
  op: 'UPDATE',
  base_row_version: 3n,
  server_row_version: 9_223_372_036_854_775_807n,
  server_row_deleted: true,
  server_row: null,
};

/** Details of every kind; the table decides which of them travel. */
const DETAILS = {
  limit_exceeded: { name: 'maxRowsPerBundle', limit: 5, actual: 6n },
  violation,
  conflict,
  conflict_count: 2,
  conflicts: [{ ...conflict, row_ordinal: 0 }],
  dimension: 'row_count',
  actual: 1200n,
  limit: 1000n,
  source_id: 'device-a',
  replaced_by_source_id: 'device-b',
  required_byte_count: 5000n,
};

describe('[D1] the schema of an error', () => {
  test.each(codes)('%s fits the body that the library writes', (code) => {
    const text = stringifyJson(encodeErrorBody(new SyncError(code, { details: DETAILS })));
    const pointer = `#/components/schemas/${getErrorSchemaName(code)}`;
    expect(check(pointer, readJson(text))).toStrictEqual([]);
    expect(check(pointer, readJson(text.replace(code, 'other')))).not.toStrictEqual([]);
  });

  test('every code stands at some operation, with the status of the table', () => {
    const placed = listOperations(document).flatMap(({ responses }) =>
      Object.entries(responses).flatMap(([status, { content }]) =>
        Object.values(content ?? {}).flatMap(({ schema }) =>
          schema.discriminator?.propertyName === 'error'
            ? Object.keys(schema.discriminator.mapping).map((code) => [code, Number(status)] as const)
            : [],
        ),
      ),
    );
    expect(Object.fromEntries(placed)).toStrictEqual(Object.fromEntries(codes.map((code) => [code, ERROR_TABLE[code].status])));
  });
});
