const POSITIVE_SECONDS = /^[1-9][0-9]{0,8}$/;

/**
 * Milliseconds named by a `Retry-After` header, or `null` when it is missing or in another form.
 *
 * Only positive whole seconds count (protocol.md 2.6); a date, a fraction, zero or a sign mean "missing".
 */
export function parseRetryAfterMs(header: string | null): number | null {
  if (header === null || !POSITIVE_SECONDS.test(header)) return null;
  return Number(header) * 1000;
}
