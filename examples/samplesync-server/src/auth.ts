import { jwtVerify, SignJWT } from 'jose';

/** Who sends a request, and whose data it is about. */
export interface Member {
  readonly tenant: string;
  readonly user: string;
}

/** Names of tenants become scope ids, so they are kept plain. */
const TENANT_PATTERN = /^[a-z0-9-]{1,63}$/;

/** Life of a token, in seconds. */
const TOKEN_LIFE_SECONDS = 3600;

/** Makes a token for a member. In an app of your own, the service that knows passwords does this. */
export async function signToken(secret: string, member: Member): Promise<string> {
  if (!TENANT_PATTERN.test(member.tenant)) throw new Error('a tenant is named with a-z, 0-9 and -');
  return new SignJWT({ tenant: member.tenant })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(member.user)
    .setExpirationTime(`${String(TOKEN_LIFE_SECONDS)}s`)
    .sign(new TextEncoder().encode(secret));
}

/** The member of a request; `null`, which becomes 401, for everything that is not a valid token. */
export async function verifyRequest(secret: string, request: Request): Promise<Member | null> {
  const token = /^Bearer (\S+)$/.exec(request.headers.get('authorization') ?? '')?.[1];
  if (token === undefined) return null;
  try {
    const { payload } = await jwtVerify(token, new TextEncoder().encode(secret), {
      algorithms: ['HS256'],
      requiredClaims: ['sub', 'exp', 'tenant'],
    });
    const tenant = payload['tenant'];
    return typeof tenant === 'string' && TENANT_PATTERN.test(tenant) ? { tenant, user: payload.sub ?? '' } : null;
  } catch {
    return null;
  }
}
