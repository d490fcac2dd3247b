import { connect, type Socket } from 'node:net';

interface Waiting {
  readonly resolve: (answer: PostAnswer) => void;
  readonly reject: (error: unknown) => void;
}

export interface PostAnswer {
  readonly status: number;
  readonly text: string;
}

const HEAD_END = Buffer.from('\r\n\r\n');

/**
 * POST requests over one connection, one at a time. `fetch` takes more of the two cores for a short request than the server under test
 * may take for its answer, so this writes the bytes itself. It understands what our server sends: a Content-Length in every answer.
 */
export class KeepAlivePost {
  readonly #url: URL;
  readonly #head: string;
  #socket: Socket | undefined;
  #received: Buffer = Buffer.alloc(0);
  #waiting: Waiting | undefined;

  constructor(serverUrl: string, headers: Readonly<Record<string, string>>) {
    this.#url = new URL(serverUrl);
    const lines = Object.entries({ Host: this.#url.host, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
    this.#head = ` HTTP/1.1\r\n${lines.join('')}Content-Length: `;
  }

  post(path: string, body: Uint8Array): Promise<PostAnswer> {
    const socket = (this.#socket ??= this.#open());
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      socket.cork();
      socket.write(`POST ${path}${this.#head}${body.length}\r\n\r\n`, 'latin1');
      socket.write(body);
      socket.uncork();
    });
  }

  /** The connection does not keep the process alive: whoever has no request under way may end. */
  #open(): Socket {
    const socket = connect({ host: this.#url.hostname, port: Number(this.#url.port), noDelay: true });
    socket.unref();
    socket.on('data', (chunk) => this.#receive(chunk));
    socket.on('error', (error) => this.#end(error));
    socket.on('close', () => this.#end(new Error('the server closed the connection')));
    return socket;
  }

  #receive(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    const bodyStart = this.#received.indexOf(HEAD_END) + HEAD_END.length;
    if (bodyStart < HEAD_END.length) return;
    const head = this.#received.toString('latin1', 0, bodyStart);
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1]);
    if (Number.isNaN(length)) return this.#end(new Error(`an answer without Content-Length: ${head}`));
    if (this.#received.length < bodyStart + length) return;
    const text = this.#received.toString('utf8', bodyStart, bodyStart + length);
    this.#received = this.#received.subarray(bodyStart + length);
    if (/\r\nconnection: *close/i.test(head)) this.#socket = undefined;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve({ status: Number(head.slice(9, 12)), text });
  }

  #end(error: unknown): void {
    this.#socket = undefined;
    this.#waiting?.reject(error);
    this.#waiting = undefined;
  }
}
