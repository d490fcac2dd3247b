import { connect, type Socket } from 'node:net';

import { makeBenchRow } from './bench-rows.ts';
import { type BenchServer, startBenchServer } from './harness/bench-server.ts';
import { type AnyCase, type Benchmark, defineCase } from './harness/benchmark.ts';
import type { Sandbox } from './harness/sandbox.ts';
import { encodeWirePush, WireSource } from './wire-push.ts';

/** What the server allows to one scope by default. */
const STREAMS_PER_SCOPE = 32;

/** Streams that are being opened at once. */
const OPENING_AT_ONCE = 64;

const BYTES_PER_KIB = 1024;

/** Open event streams of one server process: how long they take to open, and what each costs while it is quiet. */
export const watchStreams: Benchmark = {
  name: 'watch-streams',
  title: 'so many event streams are opened and stay open; raw are event streams of node:http that do nothing else',
  rowsDefault: 10_000,
  repetitionsDefault: 1,
  async setUp({ rows: count, sandbox }) {
    const server = await startBenchServer(sandbox);
    const scopes = await openScopes(server, Math.ceil(count / STREAMS_PER_SCOPE));
    const plainUrl = await server.startPlainStreams();
    const paths = Array.from({ length: count }, (_, index) => {
      const { token } = scopes[index % scopes.length] ?? { token: '' };
      return `GET /sync/watch HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer ${token}\r\nOversync-Source-ID: watcher-${index}\r\n\r\n`;
    });
    const plainPaths = paths.map(() => 'GET / HTTP/1.1\r\nHost: bench\r\n\r\n');
    let bundles = 0;
    return [
      defineStreams({ server, sandbox, name: 'raw event streams', isRaw: true, url: plainUrl, requests: plainPaths }),
      defineStreams({
        server,
        sandbox,
        name: 'watch streams',
        isRaw: false,
        url: server.url,
        requests: paths,
        whileOpen: async (streams) => {
          const [first] = scopes;
          if (first === undefined) return;
          bundles += 1;
          const pushId = await first.writer.stage(encodeWirePush([makeBenchRow(bundles)]), bundles);
          const ofScope = streams.filter((_, index) => index % scopes.length === 0);
          const told = Promise.all(ofScope.map((stream) => stream.waitFor('event: bundle')));
          await first.writer.commit(pushId);
          const startedAt = performance.now();
          await told;
          const ms = performance.now() - startedAt;
          sandbox.noteFact(`commit answered until told to the ${ofScope.length} streams of its scope`, `${ms.toFixed(2)} ms`);
        },
      }),
    ];
  },
};

interface Scope {
  readonly token: string;
  readonly writer: WireSource;
}

async function openScopes(server: BenchServer, count: number): Promise<readonly Scope[]> {
  const scopes: Scope[] = [];
  for (let index = 0; index < count; index += 1) {
    const { token } = await server.newUser();
    const writer = new WireSource(server.url, token);
    await writer.connectEmpty();
    scopes.push({ token, writer });
  }
  return scopes;
}

interface StreamsCase {
  readonly server: BenchServer;
  readonly sandbox: Sandbox;
  readonly name: string;
  readonly isRaw: boolean;
  readonly url: string;
  /** One request per stream. */
  readonly requests: readonly string[];
  readonly whileOpen?: (streams: readonly ClientStream[]) => Promise<void>;
}

function defineStreams({ server, sandbox, name, isRaw, url, requests, whileOpen }: StreamsCase): AnyCase {
  let rssBytes = 0;
  return defineCase({
    name,
    isRaw,
    unit: 'streams',
    prepare: async () => ({ streams: [] as ClientStream[], before: await server.readMemory() }),
    run: ({ streams }) => openStreams(url, requests, streams),
    finish: async ({ streams, before }) => {
      const now = await server.readMemory();
      // What a process once had of the system it keeps: only the first run shows what the streams need.
      rssBytes = Math.max(rssBytes, now.rssBytes - before.rssBytes);
      const inUse = ((now.usedBytes - before.usedBytes) / streams.length / BYTES_PER_KIB).toFixed(1);
      const resident = (rssBytes / streams.length / BYTES_PER_KIB).toFixed(1);
      sandbox.noteFact(`memory per stream, ${name}`, `${inUse} KiB in use by JavaScript, ${resident} KiB resident`);
      await whileOpen?.(streams);
      for (const stream of streams) stream.close();
    },
  });
}

async function openStreams(url: string, requests: readonly string[], streams: ClientStream[]): Promise<void> {
  const { hostname, port } = new URL(url);
  const waiting = requests[Symbol.iterator]();
  const openNext = async (): Promise<void> => {
    for (const request of waiting) {
      const stream = new ClientStream(hostname, Number(port), request);
      streams.push(stream);
      await stream.waitFor(': connected');
    }
  };
  await Promise.all(Array.from({ length: OPENING_AT_ONCE }, openNext));
}

/** One event stream as a client holds it, with as little as possible around it. */
class ClientStream {
  readonly #socket: Socket;
  #waiting: { readonly text: string; readonly resolve: () => void; readonly reject: (error: unknown) => void } | undefined;

  constructor(host: string, port: number, request: string) {
    this.#socket = connect({ host, port, noDelay: true });
    this.#socket.on('data', (chunk) => {
      if (this.#waiting === undefined || !chunk.includes(this.#waiting.text)) return;
      this.#waiting.resolve();
      this.#waiting = undefined;
    });
    this.#socket.on('error', (error) => this.#waiting?.reject(error));
    this.#socket.on('close', () => this.#waiting?.reject(new Error('the server ended the stream')));
    this.#socket.write(request);
  }

  /** Resolves when `text` arrives, in one piece as the server sends it. */
  waitFor(text: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting = { text, resolve, reject };
    });
  }

  close(): void {
    this.#waiting = undefined;
    this.#socket.destroy();
  }
}
