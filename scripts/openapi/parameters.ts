import { SOURCE_ID_HEADER } from '../../packages/protocol/src/limits.ts';
import { SOURCE_ID, UUID_TOKEN } from './json-schema.ts';
import type { JsonSchema } from './json-schema.ts';

type Parameter = JsonSchema;

const INTEGER: JsonSchema = { type: 'integer', format: 'int64' };

function query(name: string, description: string, schema: JsonSchema): Parameter {
  return { name, in: 'query', description, schema };
}

function path(name: string, description: string, schema: JsonSchema): Parameter {
  return { name, in: 'path', required: true, description, schema };
}

/** Parameters by component name. */
export const PARAMETERS = {
  SourceId: {
    name: SOURCE_ID_HEADER,
    in: 'header',
    required: true,
    description: 'The client installation, 1 to 256 visible ASCII characters, compared byte for byte. Reserved ids are refused.',
    schema: SOURCE_ID,
  },
  AcceptEncoding: {
    name: 'Accept-Encoding',
    in: 'header',
    description: 'With `gzip`, bodies of 1024 bytes and more arrive compressed.',
    schema: { type: 'string' },
  },
  ContentEncoding: {
    name: 'Content-Encoding',
    in: 'header',
    description: 'How the request body is encoded. Limits hold for the encoded and for the decoded body.',
    schema: { type: 'string', enum: ['identity', 'gzip'] },
  },
  PushId: path('push_id', 'Token of the push session. Another form is answered as not found.', UUID_TOKEN),
  SnapshotId: path('snapshot_id', 'Token of the snapshot session, opaque to clients.', { type: 'string' }),
  BundleSeq: path('bundle_seq', 'Sequence of the committed bundle.', { ...INTEGER, minimum: 1 }),
  CommittedAfterRowOrdinal: query('after_row_ordinal', 'Ordinal of the last row received; absent for the first page.', {
    ...INTEGER,
    minimum: 0,
  }),
  CommittedMaxRows: query('max_rows', 'Rows of the page at most; the server lowers it to its own limit.', {
    ...INTEGER,
    minimum: 1,
    default: 1000,
  }),
  AfterBundleSeq: query('after_bundle_seq', 'The checkpoint of the client: the last bundle it applied without gaps.', {
    ...INTEGER,
    minimum: 0,
    default: 0,
  }),
  TargetBundleSeq: query('target_bundle_seq', 'Ceiling of the loop, the first `stable_bundle_seq`; 0 for none.', {
    ...INTEGER,
    minimum: 0,
    default: 0,
  }),
  MaxBundles: query('max_bundles', 'Bundles of the page at most; a value outside the range is refused.', {
    ...INTEGER,
    minimum: 1,
    default: 1000,
  }),
  SnapshotAfterRowOrdinal: query('after_row_ordinal', 'Number of rows consumed so far.', { ...INTEGER, minimum: 0, default: 0 }),
  SnapshotMaxRows: query('max_rows', 'Rows of the chunk at most; the server lowers it to its own limit.', {
    ...INTEGER,
    minimum: 1,
    default: 1000,
  }),
  SnapshotMaxBytes: query('max_bytes', 'Bytes of row text of the chunk at most; the server lowers it to its own limit.', {
    ...INTEGER,
    minimum: 1,
    default: 4_194_304,
  }),
} as const satisfies Readonly<Record<string, Parameter>>;

/** Name of a parameter component. */
export type ParameterName = keyof typeof PARAMETERS;

/** Response headers by component name. */
export const HEADERS = {
  RetryAfter: { description: 'Whole seconds to wait, at least 1.', schema: { type: 'integer', minimum: 1 } },
  Allow: { description: 'The methods of the path.', schema: { type: 'string' } },
  CacheControl: { description: 'Answers are never stored by caches.', schema: { type: 'string', const: 'no-store' } },
  ContentEncoding: { description: 'Present when the body is compressed.', schema: { type: 'string', const: 'gzip' } },
} as const satisfies Readonly<Record<string, JsonSchema>>;
