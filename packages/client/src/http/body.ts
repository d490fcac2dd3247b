import { SyncError } from '@oversync/protocol';

import type { Clock } from '../ports/clock.ts';

/** What bounds the reading of one body. */
export interface BodyBounds {
  /** Decoded bytes; reading stops, and the connection is released, with the first byte above. */
  readonly bytesMax: number;
  /** Wait between two pieces. */
  readonly idleTimeoutMs: number;
  /** Ends the reading with `aborted`, also where the transport ignores it. */
  readonly signal?: AbortSignal;
}

/** Reads a body piece by piece as text. Bad UTF-8 and a byte order mark are refused. */
export interface BodyReader {
  /** The next piece of text, or `null` at the end. */
  read(): Promise<string | null>;
  /** Decoded bytes read so far. */
  readonly byteCount: number;
  /** Stops reading and releases the connection. May be called at any time. */
  cancel(): void;
}

const BYTE_ORDER_MARK = 0xfeff;

/** Bounded reader over the body of a response. Transport faults come out as `transport_failed`, silence as `timeout`. */
export function openBody(response: Response, bounds: BodyBounds, clock: Clock): BodyReader {
  checkEncoding(response);
  const reader = response.body?.getReader();
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let byteCount = 0;
  let hasText = false;
  const cancel = (): void => {
    reader?.cancel().catch(() => undefined);
  };
  const decode = (bytes: Uint8Array | null): string => {
    try {
      return bytes === null ? decoder.decode() : decoder.decode(bytes, { stream: true });
    } catch (cause) {
      cancel();
      throw new SyncError('protocol_violation', { details: { reason: 'decode' }, cause });
    }
  };
  const checkStart = (text: string): string => {
    if (hasText || text === '') return text;
    hasText = true;
    if (text.charCodeAt(0) !== BYTE_ORDER_MARK) return text;
    cancel();
    throw new SyncError('protocol_violation', { details: { reason: 'decode' } });
  };
  const read = async (): Promise<string | null> => {
    if (reader === undefined) return null;
    const piece = await readInTime(reader, bounds, clock);
    if (piece === null) {
      const rest = decode(null);
      return rest === '' ? null : checkStart(rest);
    }
    byteCount += piece.byteLength;
    if (byteCount > bounds.bytesMax) {
      cancel();
      throw new SyncError('response_too_large', { details: { limit: bounds.bytesMax } });
    }
    return checkStart(decode(piece));
  };
  return {
    read,
    get byteCount() {
      return byteCount;
    },
    cancel,
  };
}

/** The whole body as text. */
export async function readText(response: Response, bounds: BodyBounds, clock: Clock): Promise<string> {
  const body = openBody(response, bounds, clock);
  let text = '';
  for (let piece = await body.read(); piece !== null; piece = await body.read()) text += piece;
  return text;
}

function checkEncoding(response: Response): void {
  const encoding = response.headers.get('content-encoding');
  if (encoding === null || encoding === '' || /^(identity|gzip)$/i.test(encoding.trim())) return;
  response.body?.cancel().catch(() => undefined);
  throw new SyncError('encoding_unsupported');
}

type Interruption = 'silence' | 'aborted';

/** One piece, or `null` at the end; rejects after silence. Does not count the bytes. */
export async function readInTime(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  bounds: BodyBounds,
  clock: Clock,
): Promise<Uint8Array | null> {
  const interruption = Promise.withResolvers<Interruption>();
  const abort = (): void => interruption.resolve('aborted');
  const stopTimer = clock.startTimer(bounds.idleTimeoutMs, () => interruption.resolve('silence'));
  bounds.signal?.addEventListener('abort', abort, { once: true });
  if (bounds.signal?.aborted === true) abort();
  try {
    const outcome = await Promise.race([reader.read(), interruption.promise]);
    if (typeof outcome === 'string') throw interrupted(reader, outcome);
    return outcome.done ? null : outcome.value;
  } catch (cause) {
    if (cause instanceof SyncError) throw cause;
    if (bounds.signal?.aborted === true) throw new SyncError('aborted', { cause });
    throw new SyncError('transport_failed', { details: { phase: 'body' }, cause });
  } finally {
    stopTimer();
    bounds.signal?.removeEventListener('abort', abort);
  }
}

function interrupted(reader: ReadableStreamDefaultReader<Uint8Array>, why: Interruption): SyncError {
  reader.cancel().catch(() => undefined);
  return why === 'aborted' ? new SyncError('aborted') : new SyncError('timeout', { details: { phase: 'body' } });
}
