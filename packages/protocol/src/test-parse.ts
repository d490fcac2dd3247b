import { isSyncError, LIMITS, parseJson } from './index.ts';
import type { ErrorCode, JsonValue } from './index.ts';

/** A body as it comes from the wire. */
export function json(body: unknown): JsonValue {
  return parseJson(typeof body === 'string' ? body : JSON.stringify(body), { depthMax: LIMITS.responseJsonDepthMax });
}

/** The code and reason with which a call fails; throws when it does not fail in that way. */
export function faultOf(call: () => unknown): {
  readonly code: ErrorCode;
  readonly reason?: unknown;
  readonly member?: unknown;
  readonly violation?: unknown;
} {
  try {
    call();
  } catch (error) {
    if (isSyncError(error)) return { code: error.code, ...error.details };
    throw error;
  }
  throw new Error('accepted');
}

/** Every body made from a good one by leaving out or changing one member. */
export function* damaged(
  body: Readonly<Record<string, unknown>>,
  wrong: readonly unknown[],
): Generator<readonly [string, JsonValue]> {
  for (const name of Object.keys(body)) {
    const { [name]: _left, ...rest } = body;
    yield [`without ${name}`, json(rest)];
    for (const value of wrong) yield [`${name} = ${JSON.stringify(value)}`, json({ ...body, [name]: value })];
  }
}
