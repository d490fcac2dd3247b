import { SyncError } from '@oversync/protocol';
import type { ErrorCode } from '@oversync/protocol';

import type { IncomingRequest } from './answerers.ts';
import { readStream } from './byte-stream.ts';

/** What a request body may cost, and which code says that it is malformed. */
export interface BodyLimits {
  /** Bytes as received. */
  readonly encodedBytesMax: number;
  /** Bytes after inflating. */
  readonly decodedBytesMax: number;
  /** Option that the limits come from, named in the 413. */
  readonly encodedOption: string;
  readonly decodedOption: string;
  readonly malformedCode: ErrorCode;
}

/**
 * Reads a whole request body. `gzip` is inflated while it arrives and given up as soon as either limit is passed, so a small
 * body that would inflate without end costs no more than the limit. A client that sends slowly is waited for until `signal` aborts.
 *
 * @throws SyncError `unsupported_content_encoding`, `request_too_large`, the malformed code for broken gzip, or the signal's reason.
 */
export async function readRequestBody(
  request: Request,
  limits: BodyLimits,
  signal?: AbortSignal,
  readWhole?: IncomingRequest['readWhole'],
): Promise<Uint8Array> {
  const isGzip = checkContentEncoding(request.headers.get('content-encoding'));
  checkContentLength(request.headers.get('content-length'), limits);
  if (readWhole !== undefined && !isGzip) return readWholeBody(readWhole, limits, signal);
  if (request.body === null) return new Uint8Array(0);
  const counted = countBytes(readStream(request.body, signal), limits.encodedBytesMax, limits.encodedOption);
  const encoded = reportBreak(counted, limits.malformedCode);
  if (!isGzip) return collectBytes(encoded, limits.decodedBytesMax, limits.decodedOption);
  return inflate(encoded, limits);
}

async function readWholeBody(
  readWhole: NonNullable<IncomingRequest['readWhole']>,
  limits: BodyLimits,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const read = async (): Promise<Uint8Array> => {
    try {
      return await readWhole(signal);
    } catch (cause) {
      signal?.throwIfAborted();
      throw new SyncError(limits.malformedCode, { message: 'the request body broke off', cause });
    }
  };
  const bytes = await read();
  if (bytes.byteLength > limits.decodedBytesMax) throw createTooLarge(limits.decodedOption, limits.decodedBytesMax);
  return bytes;
}

function checkContentEncoding(value: string | null): boolean {
  const encoding = (value ?? 'identity').trim().toLowerCase();
  if (encoding === 'gzip') return true;
  if (encoding === 'identity' || encoding === '') return false;
  throw new SyncError('unsupported_content_encoding');
}

function checkContentLength(value: string | null, limits: BodyLimits): void {
  if (value === null || !/^[0-9]{1,15}$/.test(value)) return;
  const length = Number(value);
  if (length > limits.encodedBytesMax) throw createTooLarge(limits.encodedOption, limits.encodedBytesMax, length);
}

async function inflate(encoded: AsyncIterable<Uint8Array<ArrayBuffer>>, limits: BodyLimits): Promise<Uint8Array> {
  const gunzip = new DecompressionStream('gzip');
  const feeding: { fault?: unknown } = {};
  const fed = feed(encoded, gunzip.writable).catch((error: unknown) => {
    feeding.fault = error;
  });
  try {
    return await collectBytes(readStream(gunzip.readable), limits.decodedBytesMax, limits.decodedOption);
  } catch (error) {
    await fed;
    if (error instanceof SyncError) throw error;
    if (feeding.fault instanceof SyncError) throw feeding.fault;
    throw new SyncError(limits.malformedCode, { message: 'the request body is not valid gzip', cause: error });
  }
}

async function feed(source: AsyncIterable<Uint8Array<ArrayBuffer>>, sink: WritableStream<BufferSource>): Promise<void> {
  const writer = sink.getWriter();
  // The readable side reports the same fault; without a handler it would also count as unhandled here.
  writer.closed.catch(() => {});
  try {
    for await (const chunk of source) await writer.write(chunk);
    await writer.close();
  } catch (error) {
    await writer.abort(error).catch(() => {});
    throw error;
  }
}

async function* countBytes(
  chunks: AsyncIterable<Uint8Array<ArrayBuffer>>,
  bytesMax: number,
  option: string,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  let byteCount = 0;
  for await (const chunk of chunks) {
    byteCount += chunk.byteLength;
    if (byteCount > bytesMax) throw createTooLarge(option, bytesMax);
    yield chunk;
  }
}

/** A body that breaks off is the client's affair, not a fault of the server. */
async function* reportBreak<Chunk>(chunks: AsyncIterable<Chunk>, code: ErrorCode): AsyncGenerator<Chunk> {
  try {
    yield* chunks;
  } catch (cause) {
    throw cause instanceof SyncError ? cause : new SyncError(code, { message: 'the request body broke off', cause });
  }
}

async function collectBytes(chunks: AsyncIterable<Uint8Array>, bytesMax: number, option: string): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let byteCount = 0;
  for await (const chunk of chunks) {
    byteCount += chunk.byteLength;
    if (byteCount > bytesMax) throw createTooLarge(option, bytesMax);
    parts.push(chunk);
  }
  return concatBytes(parts, byteCount);
}

function concatBytes(parts: readonly Uint8Array[], byteCount: number): Uint8Array {
  const [first] = parts;
  if (parts.length === 1 && first !== undefined) return first;
  const bytes = new Uint8Array(byteCount);
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.byteLength;
  }
  return bytes;
}

function createTooLarge(name: string, limit: number, actual?: number): SyncError {
  const facts = actual === undefined ? { name, limit } : { name, limit, actual };
  return new SyncError('request_too_large', { details: { limit_exceeded: facts } });
}
