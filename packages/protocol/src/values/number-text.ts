import { JsonNumber } from '../json/json-value.ts';
import type { JsonValue } from '../json/json-value.ts';
import { formatFloat } from './float.ts';

/** Why the value of a numeric or boolean column is refused: the `category` of a violation. */
export type NumberCategory =
  | 'leading_plus'
  | 'leading_zero'
  | 'negative_zero'
  | 'fraction'
  | 'exponent'
  | 'malformed'
  | 'non_finite'
  | 'noncanonical'
  | 'out_of_range'
  | 'legacy_json_number'
  | 'invalid_boolean_bridge';

/** The binary floating point types of a column. */
export type FloatWidth = 'float4' | 'float8';

const INTEGER = /^-?(?:0|[1-9][0-9]*)$/;
const DECIMAL = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?(?:0|[1-9][0-9]*))?$/;
const NEGATIVE_ZERO = /^-0(?:\.0+)?(?:[eE].*)?$/;
const NON_FINITE = /^[+-]?(?:nan|inf|infinity)$/i;
const LEADING_PLUS = /^\+[0-9.]/;
const LEADING_ZERO = /^-?0[0-9]/;
const NUMBER_WITH_FRACTION = /^-?[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?$/;
const NUMBER_WITH_EXPONENT = /^-?[0-9]+[eE][+-]?[0-9]+$/;

/** No integer type has more characters; longer texts are refused before any arithmetic. */
const INTEGER_LENGTH_MAX = 20;

function isLegacyNumber(value: JsonValue): boolean {
  return typeof value === 'number' || value instanceof JsonNumber;
}

/** What is wrong with a text that no grammar of the contract accepts. */
function categoryOf(text: string): NumberCategory {
  if (NON_FINITE.test(text)) return 'non_finite';
  if (LEADING_PLUS.test(text)) return 'leading_plus';
  if (LEADING_ZERO.test(text)) return 'leading_zero';
  return 'malformed';
}

/**
 * Judges the wire value of an integer column; `null` means acceptable.
 *
 * @param min smallest value of the column's type
 * @param max largest value of the column's type
 */
export function checkIntegerText(value: JsonValue, min: bigint, max: bigint): NumberCategory | null {
  if (typeof value !== 'string') return isLegacyNumber(value) ? 'legacy_json_number' : 'malformed';
  if (!INTEGER.test(value)) return integerFault(value);
  if (value === '-0') return 'negative_zero';
  if (value.length > INTEGER_LENGTH_MAX) return 'out_of_range';
  const integer = BigInt(value);
  return integer < min || integer > max ? 'out_of_range' : null;
}

function integerFault(text: string): NumberCategory {
  const category = categoryOf(text);
  if (category !== 'malformed') return category;
  if (NUMBER_WITH_FRACTION.test(text)) return 'fraction';
  return NUMBER_WITH_EXPONENT.test(text) ? 'exponent' : 'malformed';
}

/**
 * Judges the wire value of a numeric column by its grammar; `null` means acceptable. Whether the digits fit the
 * precision of the column is for the database to say.
 */
export function checkDecimalText(value: JsonValue): NumberCategory | null {
  if (typeof value !== 'string') return isLegacyNumber(value) ? 'legacy_json_number' : 'malformed';
  if (!DECIMAL.test(value)) return categoryOf(value);
  return NEGATIVE_ZERO.test(value) ? 'negative_zero' : null;
}

/**
 * Judges the wire value of a float column; `null` means acceptable: exactly the spelling of {@link formatFloat},
 * inside the range of the column's width. A `float4` that would overflow or vanish is out of range.
 */
export function checkFloatText(value: JsonValue, width: FloatWidth): NumberCategory | null {
  if (typeof value !== 'string') return isLegacyNumber(value) ? 'legacy_json_number' : 'malformed';
  if (!DECIMAL.test(value)) return categoryOf(value);
  const float = Number(value);
  if (!Number.isFinite(float)) return 'non_finite';
  if (formatFloat(float) !== value) return 'noncanonical';
  return width === 'float8' || fitsFloat4(float) ? null : 'out_of_range';
}

function fitsFloat4(value: number): boolean {
  const rounded = Math.fround(value);
  return Number.isFinite(rounded) && (rounded !== 0 || value === 0);
}

/** Judges the uploaded value of a boolean column: `true`, `false`, or the bridge strings `"0"` and `"1"`; `null` means acceptable. */
export function checkBooleanBridge(value: JsonValue): NumberCategory | null {
  if (typeof value === 'boolean' || value === '0' || value === '1') return null;
  return isLegacyNumber(value) ? 'legacy_json_number' : 'invalid_boolean_bridge';
}
