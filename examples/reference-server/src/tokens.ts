import { jwtVerify, SignJWT } from 'jose';

/** Life of a token of the development sign-in, in seconds. A client asks for a new one when the server answers 401. */
export const TOKEN_LIFE_SECONDS = 3600;

export interface Tokens {
  /** Makes a token whose subject is `user`. */
  sign(user: string): Promise<string>;
  /** The subject of a valid token of the header `Authorization`; `null` for anything else. */
  verify(authorization: string | null): Promise<string | null>;
}

/** HS256 tokens under one secret. The subject is both the user and the scope: each user has a data set of their own. */
export function createTokens(secret: string): Tokens {
  const key = new TextEncoder().encode(secret);
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
      try {
        const { payload } = await jwtVerify(token, key, { algorithms: ['HS256'], requiredClaims: ['sub', 'exp'] });
        return payload.sub ?? null;
      } catch {
        return null;
      }
    },
  };
}
