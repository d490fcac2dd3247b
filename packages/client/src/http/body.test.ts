import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { systemClock } from '../ports/clock.ts';
import { openBody, readText } from './body.ts';

const bounds = { bytesMax: 1000, idleTimeoutMs: 60_000 };

function streamOf(...pieces: readonly (string | Uint8Array)[]): Response {
  const encoder = new TextEncoder();
  const bytes = pieces.map((piece) => (typeof piece === 'string' ? encoder.encode(piece) : piece));
  return new Response(
    new ReadableStream<Uint8Array>({
      start(controller) {
        for (const piece of bytes) controller.enqueue(piece);
        controller.close();
      },
    }),
  );
}

describe('[T87] body bounds', () => {
  it('reads exactly the limit and refuses one byte more', async () => {
    expect(await readText(streamOf('x'.repeat(600), 'y'.repeat(400)), bounds, systemClock)).toHaveLength(1000);
    await expect(readText(streamOf('x'.repeat(600), 'y'.repeat(401)), bounds, systemClock)).rejects.toMatchObject({
      code: 'response_too_large',
      details: { limit: 1000 },
    });
  });

  it('counts bytes, not characters', async () => {
    await expect(readText(streamOf('é'.repeat(501)), bounds, systemClock)).rejects.toMatchObject({ code: 'response_too_large' });
  });

  it('stops reading at the limit: the rest of an endless body is never asked for', async () => {
    let pulls = 0;
    let isCancelled = false;
    const endless = new Response(
      new ReadableStream<Uint8Array>({
        pull(controller) {
          pulls += 1;
          controller.enqueue(new Uint8Array(400));
        },
        cancel() {
          isCancelled = true;
        },
      }),
    );
    await expect(readText(endless, bounds, systemClock)).rejects.toMatchObject({ code: 'response_too_large' });
    expect(isCancelled).toBe(true);
    expect(pulls).toBeLessThan(6);
  });

  it.each([
    ['a byte order mark', streamOf('\uFEFF{}')],
    ['a byte order mark of its own piece', streamOf(new Uint8Array([0xef]), new Uint8Array([0xbb, 0xbf]), '{}')],
    ['a lone continuation byte', streamOf(new Uint8Array([0x22, 0x80, 0x22]))],
    ['an overlong form', streamOf(new Uint8Array([0xc0, 0xaf]))],
    ['a surrogate', streamOf(new Uint8Array([0xed, 0xa0, 0x80]))],
    ['a character cut at the end', streamOf(new Uint8Array([0x22, 0xf0, 0x9f, 0x98]))],
  ])('refuses %s', async (_name, response) => {
    await expect(readText(response, bounds, systemClock)).rejects.toMatchObject({
      code: 'protocol_violation',
      details: { reason: 'decode' },
    });
  });

  it('joins a character that two pieces share', async () => {
    const [a, b, c, d] = new TextEncoder().encode('😀');
    const pieces = [new Uint8Array([a ?? 0, b ?? 0]), new Uint8Array([c ?? 0]), new Uint8Array([d ?? 0])];
    expect(await readText(streamOf(...pieces), bounds, systemClock)).toBe('😀');
  });

  it('ends with timeout when the body falls silent, and with aborted when the caller gives up', async () => {
    const silent = (): Response =>
      new Response(new ReadableStream<Uint8Array>({ start: (controller) => controller.enqueue(new Uint8Array(1)) }));
    await expect(readText(silent(), { ...bounds, idleTimeoutMs: 5 }, systemClock)).rejects.toMatchObject({
      code: 'timeout',
      details: { phase: 'body' },
    });
    const caller = new AbortController();
    const reading = readText(silent(), { ...bounds, signal: caller.signal }, systemClock);
    caller.abort();
    await expect(reading).rejects.toMatchObject({ code: 'aborted' });
  });

  it('reports a body that breaks off as a transport fault', async () => {
    const broken = new Response(
      new ReadableStream<Uint8Array>({ pull: (controller) => controller.error(new TypeError('reset')) }),
    );
    await expect(readText(broken, bounds, systemClock)).rejects.toMatchObject({
      code: 'transport_failed',
      details: { phase: 'body' },
    });
  });
});

describe('[T87] encodings over HTTP', () => {
  const bodies: Record<string, { readonly encoding: string; readonly bytes: Buffer }> = {
    '/gzip': { encoding: 'gzip', bytes: gzipSync('{"ok":true}') },
    '/bomb': { encoding: 'gzip', bytes: gzipSync(Buffer.alloc(50_000_000)) },
    '/br': { encoding: 'br', bytes: brotliCompressSync('{"ok":true}') },
  };
  const server = createServer((request, response) => {
    if (request.url === '/cut') {
      response.writeHead(200, { 'Content-Length': 500 });
      response.write('{"ok":', () => response.destroy());
      return;
    }
    const body = bodies[request.url ?? ''];
    response.writeHead(200, { 'Content-Encoding': body?.encoding ?? 'identity' });
    response.end(body?.bytes ?? '');
  });
  let base = '';
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address: AddressInfo | string | null = server.address();
    base = typeof address === 'object' && address !== null ? `http://127.0.0.1:${address.port}` : '';
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  it('accepts gzip', async () => {
    expect(await readText(await fetch(`${base}/gzip`), bounds, systemClock)).toBe('{"ok":true}');
  });

  it('stops a gzip bomb while inflating', async () => {
    const body = openBody(await fetch(`${base}/bomb`), bounds, systemClock);
    await expect(body.read()).rejects.toMatchObject({ code: 'response_too_large' });
    expect(body.byteCount).toBeLessThan(1_000_000);
  });

  it('refuses any other encoding', async () => {
    const response = await fetch(`${base}/br`);
    expect(() => openBody(response, bounds, systemClock)).toThrow(expect.objectContaining({ code: 'encoding_unsupported' }));
  });

  it('reports a connection that breaks off as a transport fault', async () => {
    await expect(readText(await fetch(`${base}/cut`), bounds, systemClock)).rejects.toMatchObject({ code: 'transport_failed' });
  });
});
