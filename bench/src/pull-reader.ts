import { Agent, type IncomingMessage, request } from 'node:http';

/** Enough of the beginning of a bundle to hold its number. */
const BUNDLE_START = '{"bundle_seq":';
const BUNDLE_START_BYTES = 40;

/** Bytes at the end of a page that hold whether there is more. */
const TAIL_BYTES = 32;

interface PageEnd {
  readonly byteCount: number;
  readonly lastBundleSeq: string;
  readonly hasMore: boolean;
}

/**
 * Reads pulls and throws them away as they arrive, as the baseline does with its rows. `fetch` would take longer for the bytes than the
 * server under test.
 */
export class PullReader {
  readonly #serverUrl: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #agent = new Agent({ keepAlive: true });

  constructor(serverUrl: string, token: string) {
    this.#serverUrl = serverUrl;
    this.#headers = { Authorization: `Bearer ${token}`, 'Oversync-Source-ID': 'pull-reader', 'Accept-Encoding': 'identity' };
  }

  /** Reads every bundle of the scope, page by page; returns the bytes. */
  async readAll(): Promise<number> {
    let byteCount = 0;
    for (let after = '0', hasMore = true; hasMore;) {
      const page = await this.readPage(after);
      byteCount += page.byteCount;
      ({ hasMore, lastBundleSeq: after } = page);
    }
    return byteCount;
  }

  readPage(afterBundleSeq: string): Promise<PageEnd> {
    const url = `${this.#serverUrl}/sync/pull?after_bundle_seq=${afterBundleSeq}&max_bundles=5000`;
    return new Promise((resolve, reject) => {
      const sent = request(url, { headers: this.#headers, agent: this.#agent }, (answer) => {
        readPageEnd(answer, afterBundleSeq).then(resolve, reject);
      });
      sent.once('error', reject);
      sent.end();
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

async function readPageEnd(answer: IncomingMessage, afterBundleSeq: string): Promise<PageEnd> {
  if (answer.statusCode !== 200) throw new Error(`pull was answered with ${answer.statusCode}`);
  let byteCount = 0;
  let lastBundleSeq = afterBundleSeq;
  // A number or the end may be cut between two chunks, so a little of the one before is kept.
  let kept = Buffer.alloc(0);
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    byteCount += chunk.length;
    const seam = Buffer.concat([kept, chunk.subarray(0, BUNDLE_START_BYTES)]);
    lastBundleSeq = findLastBundleSeq(chunk) ?? findLastBundleSeq(seam) ?? lastBundleSeq;
    kept =
      chunk.length >= BUNDLE_START_BYTES ? Buffer.from(chunk.subarray(-BUNDLE_START_BYTES)) : seam.subarray(-BUNDLE_START_BYTES);
  }
  return { byteCount, lastBundleSeq, hasMore: kept.toString('latin1').slice(-TAIL_BYTES).includes('"has_more":true') };
}

function findLastBundleSeq(bytes: Buffer): string | undefined {
  const start = bytes.lastIndexOf(BUNDLE_START);
  return start < 0
    ? undefined
    : /^\d+(?=,)/.exec(bytes.toString('latin1', start + BUNDLE_START.length, start + BUNDLE_START_BYTES))?.[0];
}
