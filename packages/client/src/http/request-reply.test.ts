import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';

import { eagerClock } from '../ports/test-clock.ts';
import { gzipWithCompressionStream } from './exchange.ts';
import type { HttpContext } from './exchange.ts';
import { readJsonBody, requestReply } from './request-reply.ts';
import { capabilitiesRequest, createSnapshotSessionRequest, pushChunkRequest } from './requests.ts';

type Step = Response | Error | ((request: Request) => Response | Promise<Response>);

interface Setup {
  readonly http: HttpContext;
  readonly requests: Request[];
  readonly delays: readonly number[];
}

function setup(steps: readonly Step[], change: Partial<HttpContext> = {}): Setup {
  const clock = eagerClock(20_000);
  const requests: Request[] = [];
  const waiting = [...steps];
  return {
    requests,
    delays: clock.delays,
    http: {
      baseUrl: new URL('https://h'),
      headers: ({ refresh }) => ({ Authorization: refresh ? 'new' : 'old' }),
      transport: async (request) => {
        requests.push(request);
        const step = waiting.length > 1 ? waiting.shift() : waiting[0];
        if (step === undefined || step instanceof Error) throw step ?? new Error('no step');
        return typeof step === 'function' ? step(request) : step.clone();
      },
      gzip: gzipWithCompressionStream,
      clock,
      random: { fraction: () => 0, uuid: () => crypto.randomUUID() },
      timeouts: {
        requestTimeoutMs: 30_000,
        bulkRequestTimeoutMs: 330_000,
        bodyIdleTimeoutMs: 30_000,
        watchIdleTimeoutMs: 60_000,
      },
      acceptEncoding: 'gzip',
      retryPolicy: { enabled: true, maxAttempts: 3, initialBackoffMs: 150, maxBackoffMs: 1500, jitterRatio: 0.2 },
      capacityRetryPolicy: { enabled: true, maxWaitMs: 10_000, fallbackDelayMs: 1000, jitterRatio: 1 },
      ...change,
    },
  };
}

const answer = (status: number, body: string, headers: Record<string, string> = {}): Response =>
  new Response(body, { status, headers });
const busy = (headers: Record<string, string> = {}): Response =>
  answer(429, '{"error":"snapshot_build_capacity","message":""}', headers);
const signal = new AbortController().signal;
const options = { sourceId: 's', signal, bytesMax: 1000, errorBytesMax: 1000, isRepeatable: true };

function ask(used: Setup, change: Partial<typeof options> & { acceptsGzip?: boolean } = {}, spec = capabilitiesRequest()) {
  return requestReply(used.http, spec, { ...options, ...change }, readJsonBody);
}

describe('[T49] repeated requests', () => {
  it('repeat transport faults and 5xx with growing delays', async () => {
    const used = setup([new TypeError('reset'), answer(502, '<html>'), answer(200, '{"a":1}')]);
    expect(await ask(used)).toMatchObject({ kind: 'ok', attempts: 3 });
    expect(used.delays).toEqual([150, 300]);
  });

  it('end with retry_exhausted and what failed last', async () => {
    await expect(ask(setup([answer(500, '{"error":"pull_failed","message":"secret"}')]))).rejects.toMatchObject({
      code: 'retry_exhausted',
      details: { operation: 'capabilities', attempts: 3, last: 'http_error' },
    });
  });

  it('give the fault itself when one attempt is allowed', async () => {
    const once = { retryPolicy: { enabled: false, maxAttempts: 3, initialBackoffMs: 1, maxBackoffMs: 1, jitterRatio: 0 } };
    const failed = setup([answer(500, '{"error":"pull_failed","message":"m"}')], once);
    await expect(ask(failed)).rejects.toMatchObject({
      code: 'http_error',
      retryable: true,
      details: { status: 500, serverCode: 'pull_failed' },
    });
    await expect(ask(setup([new TypeError('x')], once))).rejects.toMatchObject({ code: 'transport_failed' });
    expect(failed.requests).toHaveLength(1);
  });

  it('are not repeated when they must not be', async () => {
    const used = setup([answer(500, '{"error":"x","message":"m"}')]);
    expect(await ask(used, { isRepeatable: false })).toMatchObject({
      kind: 'refused',
      refusal: { status: 500, serverCode: 'x' },
    });
    const broken = setup([new TypeError('x')]);
    await expect(ask(broken, { isRepeatable: false })).rejects.toMatchObject({ code: 'transport_failed' });
    expect(used.requests.length + broken.requests.length).toBe(2);
  });

  it('leave a 503 that names a time to the caller', async () => {
    const used = setup([answer(503, '{"error":"service_unavailable","message":""}', { 'Retry-After': '7' })]);
    expect(await ask(used)).toMatchObject({ kind: 'refused', refusal: { status: 503, retryAfterMs: 7000 } });
    expect(used.requests).toHaveLength(1);
  });

  it('are not repeated after 4xx', async () => {
    const used = setup([answer(404, 'not json at all')]);
    expect(await ask(used)).toMatchObject({ kind: 'refused', refusal: { status: 404, serverCode: '', body: null } });
  });

  it('refuse any other success status', async () => {
    expect(await ask(setup([answer(201, '{}')]))).toMatchObject({ kind: 'refused', refusal: { status: 201 } });
  });

  it('refuse a malformed success body without repeating it', async () => {
    for (const body of ['', '[]', '{"a":1,"a":2}', '{"a":1}x', `${'{"a":'.repeat(200)}1${'}'.repeat(200)}`]) {
      const used = setup([answer(200, body)]);
      await expect(ask(used, { bytesMax: 100_000 })).rejects.toMatchObject({ code: 'protocol_violation' });
      expect(used.requests).toHaveLength(1);
    }
  });

  it('bound error bodies as well', async () => {
    await expect(ask(setup([answer(404, 'x'.repeat(1001))]))).rejects.toMatchObject({ code: 'response_too_large' });
  });

  it('end at once when the caller gives up while waiting', async () => {
    const caller = new AbortController();
    const used = setup(
      [
        () => {
          setTimeout(() => caller.abort(), 0);
          return busy({ 'Retry-After': '9' });
        },
      ],
      { clock: { monotonicMs: () => 0, epochMs: () => 0, startTimer: () => () => undefined } },
    );
    await expect(ask(used, { signal: caller.signal })).rejects.toMatchObject({ code: 'aborted' });
    expect(used.requests).toHaveLength(1);
  });
});

describe('[T49] credentials', () => {
  it('are made anew once after a 401', async () => {
    const used = setup([answer(401, '{}'), answer(200, '{"a":1}')]);
    expect(await ask(used)).toMatchObject({ kind: 'ok', attempts: 1 });
    expect(used.requests.map((request) => request.headers.get('authorization'))).toEqual(['old', 'new']);
  });

  it('are not made a third time', async () => {
    const used = setup([answer(401, '{"error":"authentication_failed","message":""}')]);
    expect(await ask(used)).toMatchObject({ kind: 'refused', refusal: { status: 401 } });
    expect(used.requests).toHaveLength(2);
  });

  it('that cannot be made count as a transport fault', async () => {
    const used = setup([answer(200, '{}')], { headers: () => Promise.reject(new Error('no token')) });
    await expect(ask(used, { isRepeatable: false })).rejects.toMatchObject({
      code: 'transport_failed',
      details: { phase: 'credentials' },
    });
  });
});

describe('[T99] waits for a busy server', () => {
  it('take the header, else the fallback, and do not count as attempts', async () => {
    const used = setup([busy({ 'Retry-After': '2' }), busy(), busy({ 'Retry-After': 'soon' }), answer(200, '{}')]);
    expect(await ask(used, {}, createSnapshotSessionRequest(null))).toMatchObject({ kind: 'ok', attempts: 4 });
    expect(used.delays).toEqual([2000, 1000, 1000]);
  });

  it('end when a wait does not fit any more', async () => {
    const used = setup([busy({ 'Retry-After': '4' })]);
    await expect(ask(used)).rejects.toMatchObject({
      code: 'capacity_exhausted',
      retryAfterMs: 4000,
      details: { waitedMs: 8000 },
    });
    expect(used.requests).toHaveLength(3);
  });

  it('are not made for other codes', async () => {
    const used = setup([answer(429, '{"error":"rate","message":""}')]);
    expect(await ask(used)).toMatchObject({ kind: 'refused', refusal: { status: 429 } });
  });

  it('are off on request', async () => {
    const policy = { capacityRetryPolicy: { enabled: false, maxWaitMs: 1, fallbackDelayMs: 1, jitterRatio: 0 } };
    await expect(ask(setup([busy()], policy))).rejects.toMatchObject({ code: 'capacity_exhausted' });
  });
});

describe('[T61] request bodies', () => {
  const chunk = pushChunkRequest('p', 0, [`{"x":"${'abc'.repeat(1000)}"}`]);

  it('are compressed when the server takes it and they are worth it', async () => {
    const used = setup([answer(200, '{}')]);
    await ask(used, { acceptsGzip: true }, chunk);
    await ask(used, { acceptsGzip: true }, pushChunkRequest('p', 0, ['{}']));
    await ask(used, {}, chunk);
    expect(used.requests.map((request) => request.headers.get('content-encoding'))).toEqual(['gzip', null, null]);
    const bytes = await used.requests[0]?.arrayBuffer();
    expect(gunzipSync(Buffer.from(bytes ?? new ArrayBuffer(0))).toString()).toBe(chunk.body);
  });
});

describe('time-outs', () => {
  it('end a request whose headers do not come, and abort it', async () => {
    let isAborted = false;
    const used = setup(
      [
        (request) =>
          new Promise<Response>(() => {
            request.signal.addEventListener('abort', () => {
              isAborted = true;
            });
          }),
      ],
      {
        clock: eagerClock(),
        timeouts: { requestTimeoutMs: 10, bulkRequestTimeoutMs: 20, bodyIdleTimeoutMs: 30_000, watchIdleTimeoutMs: 1 },
      },
    );
    await expect(ask(used, { isRepeatable: false })).rejects.toMatchObject({ code: 'timeout', details: { phase: 'headers' } });
    expect(isAborted).toBe(true);
  });
});
