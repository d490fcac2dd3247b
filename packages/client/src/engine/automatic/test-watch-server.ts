import type { TestServer } from '../test-server.ts';

/** One request for a watch stream as the server saw it. */
export interface WatchAttempt {
  readonly afterBundleSeq: bigint;
  readonly sourceId: string;
  /** True once the client has read the answer to its end, or has let go of it. */
  isReleased: boolean;
  /** Sends text on a stream that is still open. */
  readonly send: (text: string) => void;
  /** Ends a stream that is still open. */
  readonly end: () => void;
}

/** How the server answers a request for a stream: hold it open (with an event at once when the client is behind), send text and end it, or refuse. */
export type WatchAnswer = 'hold' | { readonly text: string } | { readonly refusal: Response };

const encoder = new TextEncoder();

/** Adds watch streams to a test server. Answers are used in order; afterwards streams are held open. */
export class WatchServer {
  readonly attempts: WatchAttempt[] = [];
  readonly answers: WatchAnswer[] = [];
  readonly #server: TestServer;

  constructor(server: TestServer) {
    this.#server = server;
    server.features = { ...server.features, bundle_change_watch: true };
  }

  readonly fetch = (request: Request): Promise<Response> => {
    const url = new URL(request.url);
    return url.pathname.endsWith('/sync/watch') ? Promise.resolve(this.#watch(request, url)) : this.#server.fetch(request);
  };

  get openStreams(): readonly WatchAttempt[] {
    return this.attempts.filter((attempt) => !attempt.isReleased);
  }

  /** Tells every open stream about the newest bundle. */
  announce(): void {
    for (const stream of this.openStreams) stream.send(bundleEvent(this.#server.head));
  }

  #watch(request: Request, url: URL): Response {
    const answer = this.answers.shift() ?? 'hold';
    const refusal = typeof answer === 'object' && 'refusal' in answer ? answer.refusal : null;
    const pieces: (string | null)[] = typeof answer === 'object' && 'text' in answer ? [answer.text, null] : [];
    const wake: { now: (() => void) | null } = { now: null };
    const push = (piece: string | null): void => {
      pieces.push(piece);
      wake.now?.();
    };
    const attempt: WatchAttempt = {
      afterBundleSeq: BigInt(url.searchParams.get('after_bundle_seq') ?? '-1'),
      sourceId: request.headers.get('Oversync-Source-ID') ?? '',
      isReleased: false,
      send: push,
      end: () => push(null),
    };
    this.attempts.push(attempt);
    if (refusal !== null) return watched(refusal, attempt);
    if (answer === 'hold' && attempt.afterBundleSeq !== this.#server.head) pieces.push(bundleEvent(this.#server.head));
    const body = new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        while (pieces.length === 0) {
          await new Promise<void>((resolve) => {
            wake.now = resolve;
          });
        }
        const piece = pieces.shift() ?? null;
        if (piece !== null) {
          controller.enqueue(encoder.encode(piece));
          return;
        }
        attempt.isReleased = true;
        controller.close();
      },
      cancel: () => {
        attempt.isReleased = true;
      },
    });
    return new Response(body, { headers: { 'Content-Type': 'text/event-stream' } });
  }
}

function bundleEvent(head: bigint): string {
  return `event: bundle\ndata: {"bundle_seq":${head}}\n\n`;
}

/** The same answer, whose release is noticed. */
function watched(response: Response, attempt: WatchAttempt): Response {
  const release = new TransformStream<Uint8Array, Uint8Array>({
    flush: () => {
      attempt.isReleased = true;
    },
  });
  return new Response(response.body?.pipeThrough(release), { status: response.status, headers: response.headers });
}
