import * as v from 'valibot';
import type { ErrorCode } from '../errors/error-table.ts';
import { ERROR_TABLE, isWireErrorCode } from '../errors/error-table.ts';
import { SyncError } from '../errors/sync-error.ts';
import { isSourceId, isUuidToken } from '../ids.ts';
import { JsonNumber, parseInt64 } from '../json/json-value.ts';
import type { JsonObject, JsonValue } from '../json/json-value.ts';
import { LIMITS } from '../limits.ts';

/** A JSON integer of 64 bits: `"1"`, `1.0` and `1e3` are not. */
export const Int64Schema = v.pipe(
  v.unknown(),
  v.rawTransform<unknown, bigint>(({ dataset, addIssue, NEVER }) => {
    const integer = parseInt64(dataset.value);
    if (integer !== null) return integer;
    addIssue({ message: 'integer expected' });
    return NEVER;
  }),
);

/** A 64-bit counter whose first value is 1. */
export const PositiveInt64Schema = v.pipe(Int64Schema, v.minValue(1n));

/** A 64-bit counter that may be 0. */
export const CounterSchema = v.pipe(Int64Schema, v.minValue(0n));

/** A number of rows or an ordinal. */
export const RowCountSchema = v.pipe(CounterSchema, v.maxValue(BigInt(Number.MAX_SAFE_INTEGER)), v.transform(Number));

/** A limit that old clients read into 32 bits. */
export const Limit32Schema = v.pipe(PositiveInt64Schema, v.maxValue(BigInt(LIMITS.int32Max)), v.transform(Number));

/** A size in bytes that a client compares with its own buffers. */
export const ByteLimitSchema = v.pipe(PositiveInt64Schema, v.maxValue(BigInt(Number.MAX_SAFE_INTEGER)), v.transform(Number));

/** A string with at least one character that is not white space. */
export const NotBlankSchema = v.pipe(
  v.string(),
  v.check((text) => text.trim() !== ''),
);

/** See {@link isSourceId}. */
export const SourceIdSchema = v.pipe(v.string(), v.check(isSourceId));

/** See {@link isUuidToken}. */
export const UuidTokenSchema = v.pipe(v.string(), v.check(isUuidToken));

/** Times are RFC 3339 in UTC with `Z` and up to nine fraction digits. */
const UTC_TIME = /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d{1,9})?Z$/;

/** A point in time, kept as text. */
export const UtcTimeSchema = v.pipe(v.string(), v.regex(UTC_TIME));

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof JsonNumber);
}

/** Any JSON object, members unseen. */
export const JsonObjectSchema = v.custom<JsonObject>(isObject);

/** Exactly one member with a string value: the wire form of a sync key. */
export const RowKeySchema = v.custom<Readonly<Record<string, string>>>((value) => {
  if (!isObject(value)) return false;
  const values = Object.values(value);
  return values.length === 1 && typeof values[0] === 'string';
});

/** What a row does to its key. */
export const RowOpSchema = v.picklist(['INSERT', 'UPDATE', 'DELETE']);

type AnySchema = v.BaseSchema<unknown, unknown, v.BaseIssue<unknown>>;

/** Switches by name: an object with boolean members only. */
export const FeaturesSchema = v.pipe(JsonObjectSchema, v.record(v.string(), v.boolean()));

/** A list whose items are looked at elsewhere. */
export const JsonListSchema = v.custom<readonly JsonValue[]>(Array.isArray);

/** A scalar member that may be missing; `null` counts as missing. */
export function absent<const TSchema extends AnySchema>(schema: TSchema) {
  return v.pipe(
    v.nullish(schema),
    v.transform((value) => value ?? undefined),
  );
}

/** The member of the message at fault, from our own schemas only, never a name the sender chose. */
function memberOf(issue: v.BaseIssue<unknown>): string | undefined {
  const isUnknownMember = issue.expected === 'never';
  const key = issue.path?.[0].key;
  return typeof key === 'string' && !isUnknownMember ? key : undefined;
}

/**
 * Validates a message, always an object, against its schema.
 *
 * @throws {@link SyncError} with `code`, `details.reason` = `decode`, and `details.member` where a member of the
 * contract is at fault.
 */
export function parseMessage<const TSchema extends AnySchema>(
  schema: TSchema,
  json: JsonValue | undefined,
  code: ErrorCode,
): v.InferOutput<TSchema> {
  // The object schemas of the library take arrays for objects.
  const result = v.safeParse(schema, isObject(json) ? json : undefined, { abortEarly: true });
  if (result.success) return result.output;
  throw messageError(code, memberOf(result.issues[0]));
}

function messageError(code: ErrorCode, member: string | undefined): SyncError {
  if (member === undefined) return new SyncError(code, { details: { reason: 'decode' } });
  const details = { reason: 'decode', member };
  return isWireErrorCode(code)
    ? new SyncError(code, { message: `${ERROR_TABLE[code].message}: ${member}`, details })
    : new SyncError(code, { details });
}
