import { toJsonSchema } from '@valibot/to-json-schema';
import type { ConversionConfig } from '@valibot/to-json-schema';

import {
  JsonListSchema,
  JsonObjectSchema,
  NotBlankSchema,
  RowKeySchema,
  SourceIdSchema,
  UuidTokenSchema,
} from '../../packages/protocol/src/messages/schemas.ts';

/** A JSON Schema of draft 2020-12, as OpenAPI 3.1 uses it. */
export type JsonSchema = { readonly [keyword: string]: unknown };

type MessageSchema = Parameters<typeof toJsonSchema>[0];

/** Who writes the message decides what is strict: a server never sends `null` for an absent member, nor members of its own. */
export type Direction = 'request' | 'response';

const ROW_KEY: JsonSchema = { type: 'object', minProperties: 1, maxProperties: 1, additionalProperties: { type: 'string' } };

/** Schemas of the protocol that are functions to the library, by identity. */
const CUSTOM_SCHEMAS = new Map<unknown, JsonSchema>([
  [JsonObjectSchema, { type: 'object' }],
  [RowKeySchema, ROW_KEY],
  [JsonListSchema, { type: 'array' }],
]);

const SOURCE_ID_PATTERN = '^[!-~]{1,256}$';
const UUID_PATTERN = '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$';

/** Checks of shared schemas that have a form in JSON Schema, by identity. */
const CHECKS = new Map<unknown, JsonSchema>([
  [NotBlankSchema.pipe[1], { pattern: '\\S' }],
  [SourceIdSchema.pipe[1], { pattern: SOURCE_ID_PATTERN }],
  [UuidTokenSchema.pipe[1], { pattern: UUID_PATTERN }],
]);

/** Wire form of a source id. */
export const SOURCE_ID: JsonSchema = { type: 'string', pattern: SOURCE_ID_PATTERN };
/** Wire form of a push, snapshot or initialization token. */
export const UUID_TOKEN: JsonSchema = { type: 'string', pattern: UUID_PATTERN };
/** Wire form of a sync key. */
export const ROW_KEY_SCHEMA = ROW_KEY;

type OverrideAction = NonNullable<ConversionConfig['overrideAction']>;
type OverrideSchema = NonNullable<ConversionConfig['overrideSchema']>;

/** Bounds of 64 bits are left to the format: a JSON Schema validator would compare them as doubles. */
function bound(keyword: 'minimum' | 'maximum', requirement: unknown, schema: JsonSchema): JsonSchema {
  const value = Number(requirement);
  if (!Number.isSafeInteger(value)) return schema;
  const current = schema[keyword];
  if (typeof current !== 'number') return { ...schema, [keyword]: value };
  return { ...schema, [keyword]: keyword === 'minimum' ? Math.max(current, value) : Math.min(current, value) };
}

const overrideAction: OverrideAction = ({ valibotAction, jsonSchema, errors }) => {
  const action: { readonly type: string; readonly requirement?: unknown } = valibotAction;
  switch (action.type) {
    case 'raw_transform':
      return { type: 'integer', format: 'int64' };
    case 'transform':
      return jsonSchema;
    case 'check':
      return { ...jsonSchema, ...CHECKS.get(valibotAction) };
    case 'min_value':
      return bound('minimum', action.requirement, withoutBounds({ ...jsonSchema }, 'minimum'));
    case 'max_value':
      return bound('maximum', action.requirement, withoutBounds({ ...jsonSchema }, 'maximum'));
    default:
      if (errors !== undefined) throw new Error(`no JSON Schema for the action ${action.type}: ${errors.join(' ')}`);
      return undefined;
  }
};

/** The library stores a bigint bound before it reports that it cannot. */
function withoutBounds(schema: JsonSchema, keyword: string): JsonSchema {
  if (typeof schema[keyword] !== 'bigint') return schema;
  const { [keyword]: _bound, ...rest } = schema;
  return rest;
}

const overrideSchema: OverrideSchema = ({ valibotSchema, errors }) => {
  const custom = CUSTOM_SCHEMAS.get(valibotSchema);
  if (custom !== undefined) return { ...custom };
  if (errors !== undefined) throw new Error(`no JSON Schema for the schema ${valibotSchema.type}: ${errors.join(' ')}`);
  return undefined;
};

/**
 * The JSON Schema of a message, made from the validator that the library itself runs.
 *
 * Relations between members (an order of limits, different ids) have no form in JSON Schema and are left out; a kind of
 * check this function does not know is an error, so that nothing is lost in silence.
 */
export function createMessageSchema(schema: MessageSchema, direction: Direction): JsonSchema {
  const { $schema: _dialect, ...converted } = toJsonSchema(schema, {
    target: 'draft-2020-12',
    // A pipe of two schemas is an error to the library; everything else that it cannot convert throws in the overrides.
    errorMode: 'ignore',
    overrideAction,
    overrideSchema,
  });
  return normalise(converted, direction);
}

function normalise(value: JsonSchema, direction: Direction): JsonSchema {
  const schema = Object.fromEntries(Object.entries(value).map(([keyword, part]) => [keyword, normalisePart(part, direction)]));
  if (Array.isArray(schema['required']) && schema['required'].length === 0) delete schema['required'];
  if (isRecord(schema['propertyNames'])) delete schema['propertyNames'];
  if (schema['type'] !== 'object' || !isRecord(schema['properties'])) return schema;
  const required = Array.isArray(schema['required']) ? schema['required'] : [];
  const properties = Object.entries(schema['properties']).map(([name, property]): [string, unknown] => [
    name,
    direction === 'response' && !required.includes(name) && isRecord(property) ? withoutNull(property) : property,
  ]);
  const closing = direction === 'response' ? { additionalProperties: false } : {};
  return { ...schema, properties: Object.fromEntries(properties), ...closing };
}

function normalisePart(part: unknown, direction: Direction): unknown {
  if (Array.isArray(part)) return part.map((item: unknown) => normalisePart(item, direction));
  return isRecord(part) ? normalise(part, direction) : part;
}

/** `anyOf: [x, null]` is how the library writes a member that may be absent or `null`. */
export function withoutNull(property: JsonSchema): JsonSchema {
  const options: unknown = property['anyOf'];
  if (!Array.isArray(options)) return property;
  const wrapped: unknown = options[0];
  const last: unknown = options[1];
  if (!isRecord(wrapped) || !isRecord(last) || last['type'] !== 'null') return property;
  const { anyOf: _options, ...rest } = property;
  return { ...wrapped, ...rest };
}

/** The keywords `if`, `then` and `else`; a literal with a member `then` would look like a promise. */
export function when(condition: JsonSchema, consequence: JsonSchema, otherwise?: JsonSchema): JsonSchema {
  const keywords: [string, JsonSchema][] = [
    ['if', condition],
    ['then', consequence],
  ];
  if (otherwise !== undefined) keywords.push(['else', otherwise]);
  return Object.fromEntries(keywords);
}

/** True for an object that is not a list. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
