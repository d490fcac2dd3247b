import type { IncomingMessage, ServerResponse } from 'node:http';

/** How long a browser may remember the answer to a preflight, in seconds. */
const PREFLIGHT_AGE_SECONDS = 600;

/**
 * Lets any page of any origin use the server: for development only, since it also lets any page try. Answers the preflight itself and
 * returns true then.
 */
export function allowAnyOrigin(request: IncomingMessage, response: ServerResponse): boolean {
  response.setHeader('Access-Control-Allow-Origin', '*');
  response.setHeader('Access-Control-Expose-Headers', 'Retry-After');
  if (request.method !== 'OPTIONS' || request.headers['access-control-request-method'] === undefined) return false;
  // The wildcard does not cover Authorization, so the headers that were asked for are named.
  response.writeHead(204, {
    'Access-Control-Allow-Methods': 'GET, POST, DELETE',
    'Access-Control-Allow-Headers': request.headers['access-control-request-headers'] ?? '*',
    'Access-Control-Max-Age': PREFLIGHT_AGE_SECONDS,
  });
  response.end();
  return true;
}
