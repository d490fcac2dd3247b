import { CapabilitiesSchema } from '../../packages/protocol/src/messages/capabilities.ts';
import { CommitReplySchema } from '../../packages/protocol/src/messages/commit.ts';
import { CommittedRowsPageSchema } from '../../packages/protocol/src/messages/committed-rows.ts';
import { ConnectReplySchema, ConnectRequestSchema } from '../../packages/protocol/src/messages/connect.ts';
import { PullPageSchema } from '../../packages/protocol/src/messages/pull-page.ts';
import { PushChunkReplySchema, PushChunkRequestSchema } from '../../packages/protocol/src/messages/push-chunk.ts';
import {
  PushSessionReplySchema,
  PushSessionRequestSchema,
  PushSessionStatusSchema,
} from '../../packages/protocol/src/messages/push-session.ts';
import { SnapshotChunkSchema } from '../../packages/protocol/src/messages/snapshot-chunk.ts';
import { SnapshotSessionRequestSchema, SnapshotSessionSchema } from '../../packages/protocol/src/messages/snapshot-session.ts';
import { StatusSchema } from '../../packages/protocol/src/messages/status.ts';
import {
  VerifyReplySchema,
  VerifyRequestSchema,
  VerifyRowsReplySchema,
  VerifyRowsRequestSchema,
} from '../../packages/protocol/src/messages/verify.ts';
import { WatchEventSchema } from '../../packages/protocol/src/messages/watch-event.ts';
import { createErrorSchemas, ERROR_PART_SCHEMAS } from './errors.ts';
import { createMessageSchema, isRecord, when, withoutNull } from './json-schema.ts';
import type { Direction, JsonSchema } from './json-schema.ts';
import { BUNDLE_ROW, PUSH_ROW, SNAPSHOT_ROW } from './rows.ts';

const ref = (name: string): JsonSchema => ({ $ref: `#/components/schemas/${name}` });

const SHA256_PATTERN = '^[0-9a-f]{64}$';

/** A page that announces more holds something. */
const MORE_MEANS_ROWS = when({ properties: { has_more: { const: true } } }, { properties: { rows: { minItems: 1 } } });

/** Rows without bytes, or bytes without rows, do not exist. */
const ROWS_AND_BYTES_AGREE = when(
  { properties: { byte_count: { const: 0 } } },
  { properties: { rows: { maxItems: 0 } } },
  { properties: { rows: { minItems: 1 } } },
);

/** An empty image has no bytes, one with rows has a sequence. */
const EMPTY_OR_NOT = when(
  { properties: { row_count: { const: 0 } } },
  { properties: { byte_count: { const: 0 } } },
  { properties: { byte_count: { minimum: 1 }, snapshot_bundle_seq: { minimum: 1 } } },
);

/** Schemas of the bodies of requests and replies, by component name. */
export function createSchemas(): Readonly<Record<string, JsonSchema>> {
  return { ...createRequestSchemas(), ...createReplySchemas(), ...ERROR_PART_SCHEMAS, ...createErrorSchemas() };
}

function describe(description: string, direction: Direction, schema: Parameters<typeof createMessageSchema>[0]): JsonSchema {
  return { description, ...createMessageSchema(schema, direction) };
}

function createRequestSchemas(): Readonly<Record<string, JsonSchema>> {
  return {
    ConnectRequest: describe(
      'Whether the device holds rows that no server has seen; absent means no.',
      'request',
      ConnectRequestSchema,
    ),
    PushSessionRequest: demand(
      describe(
        'A frozen push, announced before its rows. `initialization_id` only while the scope is being seeded.',
        'request',
        PushSessionRequestSchema,
      ),
      {
        source_bundle_id: { minimum: 1 },
        planned_row_count: { minimum: 1 },
        canonical_request_hash: { pattern: SHA256_PATTERN },
      },
    ),
    PushChunkRequest: demand(
      setItems(describe('The next rows of a push.', 'request', PushChunkRequestSchema), 'rows', 'PushRow'),
      {
        start_row_ordinal: { minimum: 0 },
        rows: { minItems: 1 },
      },
    ),
    PushRow: PUSH_ROW,
    SnapshotSessionRequest: describe(
      "Empty, or a source id that takes the place of the caller's own. Unlike in other requests, unknown members are refused.",
      'request',
      SnapshotSessionRequestSchema,
    ),
    VerifyRequest: describe('Which ranges of which table are to be hashed.', 'request', VerifyRequestSchema),
    VerifyRowsRequest: describe('Which range of which table is to be read.', 'request', VerifyRowsRequestSchema),
  };
}

function createReplySchemas(): Readonly<Record<string, JsonSchema>> {
  const capabilities = openAtTop(describe('What the server offers. It may carry more members.', 'response', CapabilitiesSchema));
  const snapshotChunk = describe('Some rows of a frozen image. A closed shape.', 'response', SnapshotChunkSchema);
  const committedRows = describe('One page of the rows of a committed bundle.', 'response', CommittedRowsPageSchema);
  return {
    Capabilities: capabilities,
    ...splitVariants(
      'ConnectReply',
      'What the caller has to do to become attached.',
      'resolution',
      describe('', 'response', ConnectReplySchema),
    ),
    ...splitVariants(
      'PushSessionReply',
      'A session to upload into, or the bundle that the tuple was committed as.',
      'status',
      describe('', 'response', PushSessionReplySchema),
    ),
    PushSessionStatus: describe('How far an open push session has come.', 'response', PushSessionStatusSchema),
    PushChunkReply: describe('How many rows are staged now.', 'response', PushChunkReplySchema),
    CommitReply: describe(
      'The committed bundle; `row_count` includes effects of cascades and triggers.',
      'response',
      CommitReplySchema,
    ),
    CommittedRowsPage: { ...setItems(committedRows, 'rows', 'BundleRow'), ...MORE_MEANS_ROWS },
    PullPage: setBundleItems(describe('Whole bundles in ascending order, up to the ceiling.', 'response', PullPageSchema)),
    BundleRow: BUNDLE_ROW,
    WatchEvent: describe(
      'Data of one `bundle` event: a hint that a commit up to this sequence exists.',
      'response',
      WatchEventSchema,
    ),
    SnapshotSession: { ...describe('A frozen image of the scope.', 'response', SnapshotSessionSchema), ...EMPTY_OR_NOT },
    SnapshotChunk: { ...setItems(snapshotChunk, 'rows', 'SnapshotRow'), allOf: [MORE_MEANS_ROWS, ROWS_AND_BYTES_AGREE] },
    SnapshotRow: SNAPSHOT_ROW,
    VerifyReply: describe('Hashes of ranges as of one sequence.', 'response', VerifyReplySchema),
    VerifyRowsReply: {
      ...setItems(describe('Some rows of a range as of one sequence.', 'response', VerifyRowsReplySchema), 'rows', 'SnapshotRow'),
      ...MORE_MEANS_ROWS,
    },
    Status: describe('Health and counters of one server. Counters may be up to a minute old.', 'response', StatusSchema),
  };
}

/**
 * Members that the server only defaults in order to refuse them with the code of their range: the document demands them at
 * once, and in that range.
 */
function demand(schema: JsonSchema, members: Readonly<Record<string, JsonSchema>>): JsonSchema {
  const properties = getProperties(schema);
  const demanded = Object.entries(members).map(([name, range]): [string, JsonSchema] => {
    const { default: _default, ...member } = withoutNull(requireRecord(properties[name]));
    return [name, { ...member, ...range }];
  });
  return { ...schema, required: Object.keys(members), properties: { ...properties, ...Object.fromEntries(demanded) } };
}

/** Every reply but this one has exactly the members of the contract. */
function openAtTop(schema: JsonSchema): JsonSchema {
  const { additionalProperties: _closed, ...open } = schema;
  const properties = getProperties(schema);
  const { additionalProperties: _limits, ...limits } = requireRecord(properties['bundle_limits']);
  return { ...open, properties: { ...properties, bundle_limits: limits } };
}

function setItems(schema: JsonSchema, member: string, item: string): JsonSchema {
  const properties = getProperties(schema);
  return { ...schema, properties: { ...properties, [member]: { type: 'array', items: ref(item) } } };
}

function setBundleItems(schema: JsonSchema): JsonSchema {
  const properties = getProperties(schema);
  const bundles = requireRecord(properties['bundles']);
  const items = setItems(requireRecord(bundles['items']), 'rows', 'BundleRow');
  return { ...schema, properties: { ...properties, bundles: { ...bundles, items } } };
}

/** A union becomes one component per case, so that generated clients get names and a discriminator. */
function splitVariants(
  name: string,
  description: string,
  member: string,
  schema: JsonSchema,
): Readonly<Record<string, JsonSchema>> {
  const options = schema['oneOf'];
  if (!Array.isArray(options)) throw new Error(`${name} is not a union`);
  const cases = options.map((option: unknown): readonly [string, string, JsonSchema] => {
    const variant = requireRecord(option);
    const value = requireRecord(getProperties(variant)[member])['const'];
    if (typeof value !== 'string') throw new Error(`${name} has a case without ${member}`);
    return [value, `${name}${toPascalCase(value)}`, variant];
  });
  const mapping = Object.fromEntries(cases.map(([value, component]) => [value, `#/components/schemas/${component}`]));
  const union = {
    description,
    oneOf: cases.map(([, component]) => ref(component)),
    discriminator: { propertyName: member, mapping },
  };
  return { [name]: union, ...Object.fromEntries(cases.map(([, component, variant]) => [component, variant])) };
}

function toPascalCase(text: string): string {
  return text.replaceAll(/(?:^|_)([a-z])/g, (_match, letter: string) => letter.toUpperCase());
}

function getProperties(schema: JsonSchema): Readonly<Record<string, unknown>> {
  return requireRecord(schema['properties']);
}

function requireRecord(value: unknown): Readonly<Record<string, unknown>> {
  if (isRecord(value)) return value;
  throw new Error('an object was expected in the schema');
}
