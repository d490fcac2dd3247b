import { ERROR_TABLE, isWireErrorCode } from '../../packages/protocol/src/errors/error-table.ts';
import type { ErrorCode, WireErrorCode } from '../../packages/protocol/src/errors/error-table.ts';
import { ConflictSchema, ListedConflictSchema } from '../../packages/protocol/src/messages/conflict.ts';
import {
  SnapshotChunkTooSmallSchema,
  SnapshotLimitSchema,
  SourceRetiredSchema,
} from '../../packages/protocol/src/messages/error-body.ts';
import { LimitExceededSchema, ViolationSchema } from '../../packages/protocol/src/messages/violation.ts';
import { createMessageSchema, isRecord } from './json-schema.ts';
import type { JsonSchema } from './json-schema.ts';

/** Schemas that error bodies share. */
export const ERROR_PART_SCHEMAS: Readonly<Record<string, JsonSchema>> = {
  LimitExceeded: {
    description: 'The limit that a request broke, by the name of the server option; `actual` is left out when it is not known.',
    ...createMessageSchema(LimitExceededSchema, 'response'),
  },
  Violation: {
    description: 'Why one row was refused, without any of its values. `row_ordinal` and `key` are present when the row is known.',
    ...createMessageSchema(ViolationSchema, 'response'),
  },
  Conflict: {
    description: 'A pushed row whose base version is not what the server has. `server_row` is `null` when there is no live row.',
    ...createMessageSchema(ConflictSchema, 'response'),
  },
  ListedConflict: {
    description: 'A conflict with the position of its row in the push.',
    ...createMessageSchema(ListedConflictSchema, 'response'),
  },
};

const ref = (name: string): JsonSchema => ({ $ref: `#/components/schemas/${name}` });
const LISTED = { type: 'array', items: ref('ListedConflict') } as const;
const COUNT = { type: 'integer', minimum: 1 } as const;

/** Codes whose `limit_exceeded` is always there. */
const LIMIT_CODES: readonly ErrorCode[] = ['request_too_large', 'push_session_capacity', 'bundle_change_watch_capacity'];

/** Every member that an error body can have beside `error` and `message`. */
const MEMBERS: Readonly<Record<string, JsonSchema>> = {
  limit_exceeded: ref('LimitExceeded'),
  violation: ref('Violation'),
  conflict: ref('Conflict'),
  conflict_count: COUNT,
  conflicts: LISTED,
  ...propertiesOf(SnapshotLimitSchema),
  ...propertiesOf(SourceRetiredSchema),
  ...propertiesOf(SnapshotChunkTooSmallSchema),
};

const REQUIRED_MEMBERS: Readonly<Partial<Record<ErrorCode, readonly string[]>>> = {
  push_conflict: ['conflict'],
  snapshot_session_limit_exceeded: ['dimension', 'actual', 'limit'],
  source_retired: ['source_id'],
  snapshot_chunk_too_small: ['required_byte_count'],
};

function propertiesOf(schema: Parameters<typeof createMessageSchema>[0]): Readonly<Record<string, JsonSchema>> {
  const { properties } = createMessageSchema(schema, 'response');
  if (!isRecord(properties)) throw new Error('not an object schema');
  return Object.fromEntries(Object.entries(properties).filter((entry): entry is [string, JsonSchema] => isRecord(entry[1])));
}

/** Name of the component of an error: `push_conflict` → `PushConflictError`. */
export function getErrorSchemaName(code: string): string {
  const words = code.split('_').map((word) => `${word.slice(0, 1).toUpperCase()}${word.slice(1)}`);
  return `${words.join('')}Error`;
}

/** One schema for each code that travels. Error bodies may carry more members, so they stay open. */
export function createErrorSchemas(): Readonly<Record<string, JsonSchema>> {
  return Object.fromEntries(listWireCodes().map((code) => [getErrorSchemaName(code), createErrorSchema(code)]));
}

/** All codes that a server may send. */
export function listWireCodes(): readonly WireErrorCode[] {
  return Object.keys(ERROR_TABLE).filter(isWireErrorCode);
}

function createErrorSchema(code: WireErrorCode): JsonSchema {
  const { message, recovery, wireMembers = [] } = ERROR_TABLE[code];
  const extra = wireMembers.map((name): [string, JsonSchema] => {
    const member = MEMBERS[name];
    if (member === undefined) throw new Error(`${name} of ${code} has no schema`);
    return [name, member];
  });
  const always = LIMIT_CODES.includes(code) ? ['limit_exceeded'] : (REQUIRED_MEMBERS[code] ?? []);
  return {
    type: 'object',
    description: `${message}. Recovery: ${recovery}.`,
    required: ['error', 'message', ...always],
    properties: { error: { type: 'string', const: code }, message: { type: 'string' }, ...Object.fromEntries(extra) },
  };
}
