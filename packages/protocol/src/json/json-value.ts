/**
 * A JSON number that a JS number does not keep: anything with a fraction, an exponent, a sign on zero, or more than
 * 53 bits. Its digits travel unchanged.
 */
export class JsonNumber {
  /** The number as it stands in the text, for example `9007199254740993` or `1.50`. */
  readonly lexeme: string;

  constructor(lexeme: string) {
    this.lexeme = lexeme;
  }
}

/**
 * Any JSON value without loss. A `number` is always a safe integer whose decimal text is exactly what stood in the
 * document; every other number is a {@link JsonNumber}.
 */
export type JsonValue = null | boolean | string | number | JsonNumber | JsonValue[] | JsonObject;

/**
 * A JSON object. Objects made by this package inherit nothing, so that a member named `constructor` or `__proto__`
 * is an ordinary member, and an absent one is `undefined`.
 */
export interface JsonObject {
  [name: string]: JsonValue;
}

/** What {@link stringifyJson} takes: JSON values, 64-bit integers as bigint, and `undefined` members, which are left out. */
export type JsonOutput =
  | null
  | boolean
  | string
  | number
  | bigint
  | JsonNumber
  | readonly JsonOutput[]
  | { readonly [name: string]: JsonOutput | undefined };

/**
 * Objects without a past: the prototype has neither members nor a parent. Made by a constructor, because the engine
 * keeps such objects in its fast layout, while `Object.create(null)` gives slow dictionaries.
 */
class BareObject {
  [name: string]: JsonValue;
}
Reflect.deleteProperty(BareObject.prototype, 'constructor');
Object.setPrototypeOf(BareObject.prototype, null);

/** An empty {@link JsonObject} that inherits nothing. */
export function createJsonObject(): JsonObject {
  return new BareObject();
}

/** True for a JSON object: not an array, not null, not a {@link JsonNumber}. */
export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof JsonNumber);
}

const INTEGER = /^-?(?:0|[1-9][0-9]*)$/;
const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

/** Digits of the longest int64; longer lexemes need no big arithmetic to be refused. */
const INT64_LENGTH_MAX = 20;

/**
 * The signed 64-bit integer a JSON number stands for, or `null` when the value is no number, has a fraction or an
 * exponent, or lies outside the range. Strings are never numbers.
 */
export function parseInt64(value: unknown): bigint | null {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : null;
  if (!(value instanceof JsonNumber)) return null;
  const { lexeme } = value;
  if (lexeme.length > INT64_LENGTH_MAX || !INTEGER.test(lexeme)) return null;
  const integer = BigInt(lexeme);
  return integer >= INT64_MIN && integer <= INT64_MAX ? integer : null;
}

/** The shortest exact JSON value of an integer: a number when it is safe, else a {@link JsonNumber}. */
export function jsonInteger(value: bigint): number | JsonNumber {
  const small = Number(value);
  return Number.isSafeInteger(small) ? small : new JsonNumber(value.toString());
}
