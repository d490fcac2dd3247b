/**
 * The one spelling of a binary64 on the wire: the shortest digits that read back as the same value, `0` for both
 * zeros (ECMAScript `Number::toString`, which RFC 8785 adopts).
 *
 * @throws RangeError for NaN and the infinities, which have no spelling.
 */
export function formatFloat(value: number): string {
  if (!Number.isFinite(value)) throw new RangeError('a non-finite number has no wire spelling');
  return String(value);
}
