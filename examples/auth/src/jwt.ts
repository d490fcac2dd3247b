/** Tokens of an identity provider: verified with its published keys, without a request per request. */
import type { ActorIdentity } from '@oversync/server';
import { errors, jwtVerify, type JWTVerifyGetKey } from 'jose';

export interface JwtRules {
  /** Keys of the provider: `createRemoteJWKSet(new URL('https://issuer/.well-known/jwks.json'))` of `jose`, which caches them. */
  readonly keys: JWTVerifyGetKey;
  readonly issuer: string;
  /** The name of this API at the provider. A token that was made for another API is refused. */
  readonly audience: string;
}

/** Makes the hook `resolveActor`: the subject of a valid access token owns a scope of their own. */
export function createJwtResolver(rules: JwtRules): (request: Request) => Promise<ActorIdentity | null> {
  return async (request) => {
    const token = /^Bearer (\S+)$/.exec(request.headers.get('authorization') ?? '')?.[1];
    if (token === undefined) return null;
    try {
      const { payload } = await jwtVerify(token, rules.keys, {
        issuer: rules.issuer,
        audience: rules.audience,
        // Named, so that a token cannot choose a weaker one.
        algorithms: ['ES256', 'RS256', 'EdDSA'],
        requiredClaims: ['sub', 'exp'],
      });
      return payload.sub === undefined ? null : { scopeId: payload.sub, userId: payload.sub };
    } catch (error) {
      if (isRefusal(error)) return null;
      // The keys could not be fetched. Thrown on, it becomes 503, and devices try again instead of asking people to sign in.
      throw error;
    }
  };
}

/** Everything that is wrong with the token itself, as against everything that went wrong on the way to the keys. */
function isRefusal(error: unknown): boolean {
  return (
    error instanceof errors.JWTClaimValidationFailed ||
    error instanceof errors.JWTExpired ||
    error instanceof errors.JWTInvalid ||
    error instanceof errors.JWSInvalid ||
    error instanceof errors.JWSSignatureVerificationFailed ||
    error instanceof errors.JOSEAlgNotAllowed ||
    error instanceof errors.JOSENotSupported ||
    error instanceof errors.JWKSNoMatchingKey ||
    error instanceof errors.JWKSMultipleMatchingKeys
  );
}
