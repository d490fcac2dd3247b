import { SyncError, isJsonObject, isSyncError, parseJson } from '@oversync/protocol';
import type { JsonObject, JsonValue } from '@oversync/protocol';

import { CONTROL_BODY_BYTES_MAX, RESPONSE_JSON_DEPTH_MAX } from '../limits.ts';
import { parseRetryAfterMs } from '../rules/retry-after.ts';
import { attemptsAllowed, backoffDelayMs, capacityDelayMs, isCapacityCode } from '../rules/retry.ts';
import type { BodyBounds, BodyReader } from './body.ts';
import { openBody } from './body.ts';
import { checkNotAborted, sendRequest, sleep } from './exchange.ts';
import type { HttpContext, OpenReply, SendOptions } from './exchange.ts';
import { malformedBody } from './json-cursor.ts';
import type { RequestSpec } from './requests.ts';

/** A well-formed answer with another status than the request hoped for. */
export interface Refusal {
  readonly status: number;
  /** The stable code; '' when the body had none (an answer of something between client and server). */
  readonly serverCode: string;
  readonly body: JsonObject | null;
  readonly retryAfterMs: number | null;
}

export type Reply<T> =
  | { readonly kind: 'ok'; readonly value: T; readonly attempts: number }
  | { readonly kind: 'refused'; readonly refusal: Refusal; readonly attempts: number };

/** What a call knows about the bodies it may receive and how often it may ask. */
export interface RequestOptions extends SendOptions {
  /** Decoded bytes of a 200 body. Infinity where the contract does not cap it. */
  readonly bytesMax: number;
  /** Decoded bytes of any other body. */
  readonly errorBytesMax: number;
  /** False: one attempt, transport faults and 5xx come back as they are. */
  readonly isRepeatable: boolean;
  /** The first attempt, where it was sent before its turn. Whatever came of it counts as if it had been sent now. */
  readonly sent?: Promise<OpenReply>;
}

/** A request, or what makes it anew for every attempt where an earlier attempt may have made progress. */
export type RequestSource = RequestSpec | (() => RequestSpec);

/** Sends a request, reads the answer with `read`, and repeats both as the retry policies allow (client.md 9.4). */
export async function requestReply<T>(
  http: HttpContext,
  source: RequestSource,
  options: RequestOptions,
  read: (body: BodyReader) => Promise<T>,
): Promise<Reply<T>> {
  const startMs = http.clock.monotonicMs();
  let failures = 0;
  let attempts = 0;
  for (;;) {
    checkNotAborted(options.signal);
    attempts += 1;
    const spec = typeof source === 'function' ? source() : source;
    const sent = attempts === 1 ? options.sent : undefined;
    const outcome = await attemptOnce(sent ?? sendRequest(http, spec, options), { http, spec, options }, read);
    if (outcome.kind === 'ok') return { kind: 'ok', value: outcome.value, attempts };
    if (outcome.kind === 'refused') {
      const { refusal } = outcome;
      if (refusal.status === 429 && isCapacityCode(refusal.serverCode)) {
        await waitForCapacity(http, refusal, startMs, options.signal);
        continue;
      }
      if (!isTransientStatus(refusal) || !options.isRepeatable) return { kind: 'refused', refusal, attempts };
    }
    failures += 1;
    await waitForRetry(http, spec, options, failures, outcome.kind === 'failed' ? outcome.error : httpError(outcome.refusal));
  }
}

/** Reads a JSON object. */
export function readJsonBody(body: BodyReader): Promise<JsonObject> {
  return readAll(body).then(parseObject);
}

type Attempt<T> =
  | { readonly kind: 'ok'; readonly value: T }
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  | { readonly kind: 'failed'; readonly error: SyncError };

interface AttemptParts {
  readonly http: HttpContext;
  readonly spec: RequestSpec;
  readonly options: RequestOptions;
}

async function attemptOnce<T>(
  sent: Promise<OpenReply>,
  parts: AttemptParts,
  read: (body: BodyReader) => Promise<T>,
): Promise<Attempt<T>> {
  const { options } = parts;
  try {
    const reply = await sent;
    try {
      return await readReply(parts, reply, read);
    } finally {
      reply.close();
    }
  } catch (error) {
    if (options.signal.aborted) throw new SyncError('aborted', { cause: error });
    if (isSyncError(error) && (error.code === 'transport_failed' || error.code === 'timeout')) return { kind: 'failed', error };
    throw error;
  }
}

async function readReply<T>(
  { http, spec, options }: AttemptParts,
  reply: OpenReply,
  read: (body: BodyReader) => Promise<T>,
): Promise<Attempt<T>> {
  const { response } = reply;
  const isSuccess = response.status === (spec.method === 'DELETE' ? 204 : 200);
  const bounds: BodyBounds = {
    bytesMax: isSuccess ? options.bytesMax : options.errorBytesMax,
    idleTimeoutMs: http.timeouts.bodyIdleTimeoutMs,
    signal: options.signal,
  };
  const body = openBody(response, bounds, http.clock);
  try {
    if (isSuccess) return { kind: 'ok', value: await read(body) };
    return { kind: 'refused', refusal: await readRefusal(response, body) };
  } catch (error) {
    body.cancel();
    throw error;
  }
}

/** Reads the body of an answer that is not a success. */
export async function readRefusal(response: Response, body: BodyReader): Promise<Refusal> {
  const json = tryParseObject(await readAll(body));
  const code = json?.['error'];
  return {
    status: response.status,
    serverCode: typeof code === 'string' ? code : '',
    body: json,
    retryAfterMs: parseRetryAfterMs(response.headers.get('retry-after')),
  };
}

async function readAll(body: BodyReader): Promise<string> {
  let text = '';
  for (let piece = await body.read(); piece !== null; piece = await body.read()) text += piece;
  return text;
}

function parseObject(text: string): JsonObject {
  let value: JsonValue;
  try {
    value = parseJson(text, { depthMax: RESPONSE_JSON_DEPTH_MAX });
  } catch (cause) {
    throw malformedBody(cause);
  }
  if (!isJsonObject(value)) throw malformedBody();
  return value;
}

/** Proxies answer with HTML; then the status alone decides. */
function tryParseObject(text: string): JsonObject | null {
  try {
    return parseObject(text);
  } catch {
    return null;
  }
}

function isTransientStatus(refusal: Refusal): boolean {
  if (refusal.status < 500) return false;
  return refusal.status !== 503 || refusal.retryAfterMs === null;
}

async function waitForCapacity(http: HttpContext, refusal: Refusal, startMs: number, signal: AbortSignal): Promise<void> {
  const elapsedMs = http.clock.monotonicMs() - startMs;
  const delayMs = capacityDelayMs(http.capacityRetryPolicy, elapsedMs, refusal.retryAfterMs, http.random.fraction());
  if (delayMs === null) throw capacityError(refusal, elapsedMs);
  await sleep(http.clock, delayMs, signal);
}

function capacityError(refusal: Refusal, elapsedMs: number): SyncError {
  return new SyncError('capacity_exhausted', {
    details: { waitedMs: Math.round(elapsedMs), serverCode: refusal.serverCode },
    ...(refusal.retryAfterMs === null ? {} : { retryAfterMs: refusal.retryAfterMs }),
  });
}

async function waitForRetry(
  http: HttpContext,
  spec: RequestSpec,
  options: RequestOptions,
  failures: number,
  error: SyncError,
): Promise<void> {
  const allowed = options.isRepeatable ? attemptsAllowed(http.retryPolicy) : 1;
  if (failures < allowed) {
    await sleep(http.clock, backoffDelayMs(http.retryPolicy, failures, http.random.fraction()), options.signal);
    return;
  }
  if (allowed === 1) throw error;
  throw new SyncError('retry_exhausted', {
    details: { operation: spec.operation, attempts: failures, last: error.code },
    cause: error,
  });
}

/** The error of an answer that no rule of the caller explains. */
export function httpError(refusal: Refusal): SyncError {
  const details = { status: refusal.status, serverCode: safeServerCode(refusal.serverCode) };
  const retryAfter = refusal.retryAfterMs === null ? {} : { retryAfterMs: refusal.retryAfterMs };
  const { serverCode } = details;
  if (refusal.status === 401) return new SyncError('authentication_failed', { details: { serverCode } });
  if (refusal.status === 403) return new SyncError('forbidden', { details: { serverCode } });
  if (refusal.status === 429) return new SyncError('rate_limited', { details: { serverCode }, ...retryAfter });
  return new SyncError('http_error', { details, ...retryAfter });
}

/** A code of the server as it may appear in details: nothing else of a server's text does. */
export function safeServerCode(code: string): string {
  return /^[A-Za-z_][A-Za-z0-9_]{0,62}$/.test(code) ? code : '';
}

/** Decoded bytes of error bodies before the limits of the server are known. */
export const ERROR_BYTES_BEFORE_CAPABILITIES = CONTROL_BODY_BYTES_MAX;
