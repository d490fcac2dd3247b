/**
 * The port through which the engine speaks HTTP (client.md 2.1 `ports.http`): one request in, one response out, as `fetch` does it.
 *
 * The body of the response is already decoded when it arrives here, as with `fetch`; the header `Content-Encoding` still names the
 * encoding that was used. The request carries an `AbortSignal`; an implementation must reject, and stop reading the body, once it fires.
 * Redirects, cookies and caches are the platform's business; the engine refuses every status it does not expect.
 */
export type HttpTransport = (request: Request) => Promise<Response>;

/** Compresses a request body. The default uses `CompressionStream`; a platform with a faster or tunable gzip may offer its own. */
export type GzipBytes = (bytes: Uint8Array<ArrayBuffer>) => Promise<Uint8Array<ArrayBuffer>>;
