const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;
const INTEGER_PATTERN = /^[+-]?[0-9]{1,40}$/;

/**
 * Reads an integer of a query or path: optional sign, decimal digits, signed 64 bit. An empty or missing value is `undefined`,
 * anything else that is no such integer is `null`.
 */
export function parseQueryInteger(text: string | null | undefined): bigint | null | undefined {
  if (text === null || text === undefined || text === '') return undefined;
  if (!INTEGER_PATTERN.test(text)) return null;
  const value = BigInt(text.startsWith('+') ? text.slice(1) : text);
  return value < INT64_MIN || value > INT64_MAX ? null : value;
}
