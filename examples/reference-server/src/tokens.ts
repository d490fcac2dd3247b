import { jwtVerify, SignJWT } from 'jose';

/** Life of a token of the development sign-in, in seconds. A client asks for a new one when the server answers 401. */
export const TOKEN_LIFE_SECONDS = 3600;

/** Verified tokens that are remembered, a few hundred bytes each. */
const REMEMBERED_TOKENS_MAX = 10_000;

export interface Tokens {
  /** Makes a token whose subject is `user`. */
  sign(user: string): Promise<string>;
  /** The subject of a valid token of the header `Authorization`; `null` for anything else. */
  verify(authorization: string | null): Promise<string | null>;
}

interface VerifiedToken {
  readonly subject: string;
  readonly expiresAtMs: number;
}

/**
 * HS256 tokens under one secret. The subject is both the user and the scope: each user has a data set of their own.
 *
 * A device sends the same token with every request of an hour, so what was verified once is remembered until it expires: a signature
 * does not become wrong, and verifying it takes longer than answering a short request.
 */
export function createTokens(secret: string): Tokens {
  const key = new TextEncoder().encode(secret);
  const verified = new Map<string, VerifiedToken>();
  return {
    sign: (user) =>
      new SignJWT()
        .setProtectedHeader({ alg: 'HS256' })
        .setSubject(user)
        .setIssuedAt()
        .setExpirationTime(`${TOKEN_LIFE_SECONDS}s`)
        .sign(key),
    async verify(authorization) {
      const token = /^Bearer ([^\s]+)$/.exec(authorization ?? '')?.[1];
      if (token === undefined) return null;
      const known = verified.get(token);
      if (known !== undefined && Date.now() < known.expiresAtMs) return known.subject;
      const found = await verifyToken(token, key);
      verified.delete(token);
      if (found === null) return null;
      verified.set(token, found);
      if (verified.size > REMEMBERED_TOKENS_MAX) dropOldest(verified);
      return found.subject;
    },
  };
}

async function verifyToken(token: string, key: Uint8Array): Promise<VerifiedToken | null> {
  try {
    const { payload } = await jwtVerify(token, key, { algorithms: ['HS256'], requiredClaims: ['sub', 'exp'] });
    return payload.sub === undefined ? null : { subject: payload.sub, expiresAtMs: (payload.exp ?? 0) * 1000 };
  } catch {
    return null;
  }
}

function dropOldest(tokens: Map<string, VerifiedToken>): void {
  const oldest = tokens.keys().next();
  if (oldest.done !== true) tokens.delete(oldest.value);
}
