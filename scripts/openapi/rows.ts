import { SCOPE_COLUMN } from '../../packages/protocol/src/limits.ts';
import { ROW_KEY_SCHEMA, when } from './json-schema.ts';
import type { JsonSchema } from './json-schema.ts';

/**
 * Shapes of rows. The protocol checks rows by hand because a page holds thousands of them, so their schemas are written by
 * hand too; a test runs both on the same generated samples.
 */

const NAME: JsonSchema = { type: 'string', minLength: 1 };
const ROW_VERSION: JsonSchema = { type: 'integer', format: 'int64', minimum: 1 };

/** Published columns with their wire values; the hidden tenant column never appears. */
const PAYLOAD: JsonSchema = {
  type: 'object',
  description:
    'Column names with wire values: numbers as strings, `bytea` as base64, `json` and `jsonb` nested, SQL NULL as `null`.',
  properties: { [SCOPE_COLUMN]: false },
};

const REFUSES_PAYLOAD: JsonSchema = { properties: { payload: { type: 'null' } } };
const DEMANDS_PAYLOAD: JsonSchema = { required: ['payload'], properties: { payload: PAYLOAD } };

/** DELETE has no payload (or `null`), the other operations need one. */
const PAYLOAD_FOLLOWS_OP = when({ properties: { op: { const: 'DELETE' } } }, REFUSES_PAYLOAD, DEMANDS_PAYLOAD);

const OP: JsonSchema = { type: 'string', enum: ['INSERT', 'UPDATE', 'DELETE'] };

/** Row of a pull page or a committed-rows page. */
export const BUNDLE_ROW: JsonSchema = {
  type: 'object',
  description: 'The final state of one row after its bundle.',
  required: ['schema', 'table', 'key', 'op', 'row_version'],
  properties: {
    schema: NAME,
    table: NAME,
    key: ROW_KEY_SCHEMA,
    op: OP,
    row_version: ROW_VERSION,
    payload: { type: ['object', 'null'] },
  },
  ...PAYLOAD_FOLLOWS_OP,
};

/** Row of a snapshot chunk, a closed shape. */
export const SNAPSHOT_ROW: JsonSchema = {
  type: 'object',
  description: 'One live row of a frozen image. A closed shape: clients refuse one member more or less.',
  required: ['schema', 'table', 'key', 'row_version', 'payload'],
  properties: { schema: NAME, table: NAME, key: ROW_KEY_SCHEMA, row_version: ROW_VERSION, payload: PAYLOAD },
  additionalProperties: false,
};

/** Row of a chunk upload, in the only spelling whose hash is the client's: names in lower case, operation in upper case. */
export const PUSH_ROW: JsonSchema = {
  type: 'object',
  description:
    'One uploaded row. `base_row_version` is the version the client last saw for the key, 0 when it never saw one. Columns left out of the payload take the default on INSERT and stay unchanged on UPDATE.',
  required: ['schema', 'table', 'key', 'op', 'base_row_version'],
  properties: {
    schema: { type: 'string' },
    table: { type: 'string' },
    key: ROW_KEY_SCHEMA,
    op: OP,
    base_row_version: { type: 'integer', format: 'int64', minimum: 0 },
    payload: { type: ['object', 'null'] },
  },
  ...PAYLOAD_FOLLOWS_OP,
};
