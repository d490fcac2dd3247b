/** The way from an adapter into the server that needs no Web objects for what is small and complete. */
import type { Gzip } from '../ports/gzip.ts';
import type { Answer } from './responses.ts';

/** A request as an adapter of this package hands it over. */
export interface IncomingRequest {
  /** What the host's hook sees. Without `readWhole` it carries the body. */
  readonly request: Request;
  /** Aborted when the client goes away. */
  readonly clientSignal: AbortSignal;
  /**
   * The body of a request whose length is known and small, without a stream around it. Rejects with the reason of `signal`, or when the
   * body breaks off.
   */
  readonly readWhole?: (signal: AbortSignal | undefined) => Promise<Uint8Array>;
}

export type Answerer = (incoming: IncomingRequest, gzip: Gzip) => Promise<Answer>;

const answerers = new WeakMap<object, Answerer>();

/** Notes what stands behind a `fetch` of this package. */
export function registerAnswerer<Fetch extends object>(fetch: Fetch, answerer: Answerer): Fetch {
  answerers.set(fetch, answerer);
  return fetch;
}

/** `undefined` for every other function, and for ours inside of another. */
export function findAnswerer(fetch: object): Answerer | undefined {
  return answerers.get(fetch);
}
