/** Sessions of a web application: the browser sends a cookie, the server knows what it stands for. */
import { createHash } from 'node:crypto';

import type { ActorIdentity } from '@oversync/server';

export interface Session {
  readonly userId: string;
  readonly tenantId: string;
  readonly expiresAtMs: number;
}

export interface SessionRules {
  /** Name of the cookie; the prefix makes browsers send it over TLS only, and keeps other hosts of the domain from setting it. */
  readonly cookieName: `__Host-${string}`;
  /** Origins whose pages may sync. */
  readonly allowedOrigins: ReadonlySet<string>;
  /** Looks a session up by the digest of its id, so that a leaked table of sessions opens none. */
  readonly findSession: (digest: string) => Promise<Session | null>;
  readonly now: () => number;
}

/** Makes the hook `resolveActor`: members of a tenant share its scope. */
export function createSessionResolver(rules: SessionRules): (request: Request) => Promise<ActorIdentity | null> {
  return async (request) => {
    if (!isOwnPage(request, rules.allowedOrigins)) return null;
    const id = readCookie(request.headers.get('cookie') ?? '', rules.cookieName);
    if (id === undefined) return null;
    const session = await rules.findSession(digestSessionId(id));
    if (session === null || session.expiresAtMs <= rules.now()) return null;
    return { scopeId: session.tenantId, userId: session.userId };
  };
}

/** What the table of sessions holds instead of the id. Ids are random, so no slow hash is needed. */
export function digestSessionId(id: string): string {
  return createHash('sha256').update(id).digest('hex');
}

/**
 * Browsers send cookies with requests of other people's pages as well. Every browser that knows `SameSite` also says, in headers that
 * a page cannot set, where a request comes from; same-origin GET requests have no Origin.
 */
function isOwnPage(request: Request, allowedOrigins: ReadonlySet<string>): boolean {
  const origin = request.headers.get('origin');
  if (origin !== null) return allowedOrigins.has(origin);
  return request.headers.get('sec-fetch-site') === 'same-origin';
}

function readCookie(header: string, name: string): string | undefined {
  for (const part of header.split(';')) {
    const [key, ...value] = part.trim().split('=');
    if (key === name) return value.join('=');
  }
  return undefined;
}
