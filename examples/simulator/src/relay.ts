import { createServer, request as requestUpstream } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';

const WATCH_PATH = '/sync/watch';
const CAPABILITIES_PATH = '/sync/capabilities';

/** A proxy between devices and server: it counts, hides the watch feature, and cuts streams. */
export class Relay {
  /** Path and query of every request, in order. */
  readonly requests: string[] = [];
  /** When each watch stream was asked for, and when each was cut, in milliseconds of the monotonic clock. */
  readonly openedAt: number[] = [];
  readonly cutAt: number[] = [];
  hidesWatch = false;
  readonly #target: URL;
  readonly #streams = new Set<ServerResponse>();
  readonly #server: Server;
  #url = '';

  private constructor(target: string) {
    this.#target = new URL(target);
    this.#server = createServer((incoming, outgoing) => this.#forward(incoming, outgoing));
  }

  static async start(target: string): Promise<Relay> {
    const relay = new Relay(target);
    await new Promise<void>((resolve) => relay.#server.listen(0, '127.0.0.1', resolve));
    const address = relay.#server.address();
    if (typeof address !== 'object' || address === null) throw new Error('the relay has no port');
    relay.#url = `http://127.0.0.1:${address.port}`;
    return relay;
  }

  get url(): string {
    return this.#url;
  }

  get openStreams(): number {
    return this.#streams.size;
  }

  countOf(path: string): number {
    return this.requests.filter((request) => request.split('?')[0] === path).length;
  }

  /** Queries of the watch requests, in order. */
  get watchQueries(): readonly URLSearchParams[] {
    const queries = this.requests.filter((request) => request.startsWith(WATCH_PATH));
    return queries.map((request) => new URLSearchParams(request.split('?')[1] ?? ''));
  }

  /** Breaks every open watch stream, as a proxy does that limits the life of a connection. */
  cutStreams(): void {
    for (const stream of this.#streams) {
      this.cutAt.push(performance.now());
      stream.destroy();
    }
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  #forward(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const path = incoming.url ?? '/';
    this.requests.push(path);
    if (path.startsWith(WATCH_PATH)) this.openedAt.push(performance.now());
    const isHiding = this.hidesWatch && path === CAPABILITIES_PATH;
    const headers = { ...incoming.headers, host: this.#target.host, ...(isHiding ? { 'accept-encoding': 'identity' } : {}) };
    const { hostname, port } = this.#target;
    const upstream = requestUpstream({ hostname, port, path, method: incoming.method, headers }, (answer) => {
      if (isHiding) void answerWithoutWatch(answer, outgoing);
      else this.#pass(path, answer, outgoing);
    });
    upstream.on('error', () => outgoing.destroy());
    outgoing.on('close', () => upstream.destroy());
    incoming.pipe(upstream);
  }

  #pass(path: string, answer: IncomingMessage, outgoing: ServerResponse): void {
    if (path.startsWith(WATCH_PATH) && answer.statusCode === 200) {
      this.#streams.add(outgoing);
      outgoing.on('close', () => this.#streams.delete(outgoing));
    }
    outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
    outgoing.flushHeaders();
    answer.on('error', () => outgoing.destroy());
    answer.pipe(outgoing);
  }
}

async function answerWithoutWatch(answer: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of answer as AsyncIterable<Buffer>) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString('utf8').replace('"bundle_change_watch":true', '"bundle_change_watch":false');
  const { 'content-length': _length, 'transfer-encoding': _encoding, ...headers } = answer.headers;
  outgoing.writeHead(answer.statusCode ?? 502, { ...headers, 'content-length': Buffer.byteLength(text) });
  outgoing.end(text);
}
