import { canonicalJson, committedRowText, createJsonObject, requestRowText } from '@oversync/protocol';
import type { JsonObject } from '@oversync/protocol';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { formatCommittedRow, formatRequestRow, readFlatBlock } from './flat-block.ts';

/** Names and texts that look like the marks between the parts of a row. */
const MARKS = [
  'schema',
  'table',
  'key',
  'op',
  'row_version',
  'payload',
  ',"row_version":7',
  ',{"schema":',
  '},{"schema":"',
  '\\',
  '"',
  '}',
];
const text = fc.oneof(fc.constantFrom(...MARKS), fc.string({ unit: 'grapheme' }));
const name = fc.constantFrom('id', 'schema', 'table', 'key', 'op', 'row_version', 'payload');
const payload = fc.dictionary(name, fc.oneof(text, fc.boolean(), fc.constant(null)));
const row = fc.record({ schema: text, table: text, keyName: name, keyText: text, payload: fc.option(payload) });

function toJsonObject(members: Readonly<Record<string, string | boolean | null>>): JsonObject {
  return Object.assign(createJsonObject(), members);
}

describe('readFlatBlock', () => {
  it('gives the hashed forms of every row, whatever its names and texts look like', () => {
    fc.assert(
      fc.property(fc.array(row, { minLength: 1, maxLength: 4 }), fc.bigInt({ min: 1n, max: 2n ** 63n - 1n }), (rows, version) => {
        const described = rows.map(({ schema, table, keyName, keyText, payload: members }) => ({
          schema,
          table,
          key: toJsonObject({ [keyName]: keyText }),
          op: members === null ? ('DELETE' as const) : ('INSERT' as const),
          payload: members === null ? null : canonicalJson(toJsonObject(members)),
        }));
        const block = described
          .map(
            ({ schema, table, key, op, payload: content }) =>
              `{"schema":${JSON.stringify(schema)},"table":${JSON.stringify(table)},"key":${canonicalJson(key)},"op":"${op}",` +
              `"row_version":${version}${content === null ? '' : `,"payload":${content}`}}`,
          )
          .join(',');
        const found = [...readFlatBlock(block, String(version))];
        expect(found.map((flat, index) => formatCommittedRow(flat, index + 9, String(version)))).toEqual(
          described.map((member, index) => committedRowText({ ...member, row_version: version }, index + 9)),
        );
        expect(found.map((flat, index) => formatRequestRow(flat, index + 9))).toEqual(
          described.map((member, index) => requestRowText({ ...member, base_row_version: 0n }, index + 9)),
        );
      }),
    );
  });

  it.each([
    ['no row', 'x'],
    ['a row of another version', '{"schema":"s","table":"t","key":{"id":"1"},"op":"DELETE","row_version":8}'],
    ['a version of more digits', '{"schema":"s","table":"t","key":{"id":"1"},"op":"DELETE","row_version":77}'],
    ['a row without key', '{"schema":"s","table":"t","op":"DELETE","row_version":7}'],
    ['a row that is cut off', '{"schema":"s","table":"t","key":{"id":"1"},"op":"INSERT","row_version":7,"payload":{"a":"b"'],
  ])('refuses %s', (_what, block) => {
    expect(() => [...readFlatBlock(block, '7')]).toThrow(TypeError);
  });
});
