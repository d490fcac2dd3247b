import type { IncomingMessage, ServerResponse } from 'node:http';

import { readJson, readMember, sendJson } from './json-http.ts';
import type { SyncHost } from './sync-host.ts';
import type { Tokens } from './tokens.ts';

/**
 * What client suites need beside sync. Everybody who reaches the server may use it, so it exists only with `--test-routes`.
 *
 * - `POST /test/reset` empties the schema and forgets all history
 * - `POST /test/retention-floor {"user_id", "retained_bundle_floor"}` makes bundles unavailable
 * - `GET /test/watch-subscribers?user_id=` counts open watch streams
 */
export class TestRoutes {
  readonly #host: SyncHost;
  readonly #tokens: Tokens;
  readonly #watching = new Map<ServerResponse, string>();

  constructor(host: SyncHost, tokens: Tokens) {
    this.#host = host;
    this.#tokens = tokens;
  }

  /** Looks at every sync request, so that streams can be counted. */
  async note(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
    if (path !== '/sync/watch') return;
    const user = await this.#tokens.verify(request.headers.authorization ?? null);
    if (user === null || response.destroyed) return;
    this.#watching.set(response, user);
    response.once('close', () => this.#watching.delete(response));
  }

  async answer(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
    const route = `${request.method ?? ''} ${path}`;
    if (route === 'POST /test/reset') {
      await this.#host.reset();
      sendJson(response, 200, { status: 'ok' });
    } else if (route === 'POST /test/retention-floor') await this.#raiseFloor(request, response);
    else if (route === 'GET /test/watch-subscribers') this.#countSubscribers(request, response);
    else sendJson(response, 404, { error: 'not_found', message: 'there is no such test route' });
  }

  async #raiseFloor(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readJson(request);
    const user = readMember(body, 'user_id');
    const floor = readMember(body, 'retained_bundle_floor');
    if (typeof user !== 'string' || typeof floor !== 'number' || !Number.isSafeInteger(floor) || floor < 0) {
      sendJson(response, 400, { error: 'invalid_request', message: 'user_id and retained_bundle_floor are required' });
    } else if (await this.#host.raiseFloor(user, BigInt(floor))) {
      sendJson(response, 200, { user_id: user, retained_bundle_floor: floor });
    } else {
      sendJson(response, 400, { error: 'invalid_request', message: 'the user has no such bundle' });
    }
  }

  #countSubscribers(request: IncomingMessage, response: ServerResponse): void {
    const user = new URL(request.url ?? '/', 'http://localhost').searchParams.get('user_id') ?? '';
    // A stream counts from its first byte: before that, the client is not told of changes yet.
    const open = [...this.#watching].filter(
      ([stream, owner]) => owner === user && stream.headersSent && stream.statusCode === 200,
    );
    sendJson(response, 200, { user_id: user, subscriber_count: open.length });
  }
}
