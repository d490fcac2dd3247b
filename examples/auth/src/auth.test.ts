import { createSyncServer, type ActorIdentity, type Postgres } from '@oversync/server';
import { createLocalJWKSet, errors, exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';

import { createApiKey, createApiKeyResolver, type ApiKeyRecord } from './api-key.ts';
import { createJwtResolver } from './jwt.ts';
import { createSessionResolver, digestSessionId, type Session } from './session.ts';

type Resolve = (request: Request) => Promise<ActorIdentity | null>;

const makeRequest = (headers: Readonly<Record<string, string>>): Request =>
  new Request('https://app.example/sync/capabilities', { headers: { 'Oversync-Source-ID': 'device', ...headers } });

/** A database that cannot be reached: a request that gets that far was let in. */
const UNREACHABLE: Postgres = {
  features: { concurrentTransactions: true },
  transaction: () => Promise.reject(new Error('unreachable')),
  query: () => Promise.reject(new Error('unreachable')),
};

describe('tokens of an identity provider', () => {
  const rules = { issuer: 'https://issuer.example/', audience: 'notes-api' };
  let resolve: Resolve;
  let keys: Awaited<ReturnType<typeof generateKeyPair>>;
  beforeAll(async () => {
    keys = await generateKeyPair('ES256');
    const jwk = { ...(await exportJWK(keys.publicKey)), kid: 'one', alg: 'ES256' };
    resolve = createJwtResolver({ ...rules, keys: createLocalJWKSet({ keys: [jwk] }) });
  });

  const build = (changes: Readonly<Record<string, unknown>> = {}): SignJWT =>
    new SignJWT({ sub: 'ada', iss: rules.issuer, aud: rules.audience, exp: Math.floor(Date.now() / 1000) + 60, ...changes });
  const sign = (token: SignJWT): Promise<string> => token.setProtectedHeader({ alg: 'ES256', kid: 'one' }).sign(keys.privateKey);
  const bearer = (token: string): Request => makeRequest({ Authorization: `Bearer ${token}` });

  it('name the scope and the user by their subject', async () => {
    expect(await resolve(bearer(await sign(build())))).toEqual({ scopeId: 'ada', userId: 'ada' });
  });

  it('are refused when they expired, were made for another API or by somebody else, or carry no signature', async () => {
    const other = await generateKeyPair('ES256');
    const foreign = await build().setProtectedHeader({ alg: 'ES256', kid: 'one' }).sign(other.privateKey);
    const unknownKey = await build().setProtectedHeader({ alg: 'ES256', kid: 'two' }).sign(other.privateKey);
    const symmetric = await build().setProtectedHeader({ alg: 'HS256', kid: 'one' }).sign(new Uint8Array(32));
    const unsigned = new UnsecuredJWT({ sub: 'ada', iss: rules.issuer, aud: rules.audience }).setExpirationTime('1h').encode();
    const changed = await Promise.all(
      [{ exp: 1 }, { exp: undefined }, { sub: undefined }, { aud: 'x' }, { iss: 'x' }].map((each) => sign(build(each))),
    );
    for (const token of [foreign, unknownKey, symmetric, unsigned, ...changed, 'x.y.z', '']) {
      expect(await resolve(bearer(token)), token).toBeNull();
    }
    expect(await resolve(makeRequest({}))).toBeNull();
    expect(await resolve(makeRequest({ Authorization: `Basic ${await sign(build())}` }))).toBeNull();
  });

  it('are neither valid nor invalid while the keys cannot be fetched', async () => {
    const offline = createJwtResolver({ ...rules, keys: () => Promise.reject(new errors.JWKSTimeout()) });
    await expect(offline(bearer(await sign(build())))).rejects.toBeInstanceOf(errors.JWKSTimeout);
  });
});

describe('sessions of a web application', () => {
  const now = Date.UTC(2026, 0, 1);
  const sessions = new Map<string, Session>([
    [digestSessionId('alive='), { userId: 'ada', tenantId: 'acme', expiresAtMs: now + 1 }],
    [digestSessionId('expired'), { userId: 'ada', tenantId: 'acme', expiresAtMs: now }],
  ]);
  const resolve = createSessionResolver({
    cookieName: '__Host-session',
    allowedOrigins: new Set(['https://app.example']),
    findSession: async (digest) => sessions.get(digest) ?? null,
    now: () => now,
  });
  const send = (id: string, headers: Readonly<Record<string, string>>): Promise<ActorIdentity | null> =>
    resolve(makeRequest({ ...headers, Cookie: `theme=dark; __Host-session=${id}; other=1` }));

  it('name the scope by the tenant, for pages of the application only', async () => {
    const actor = { scopeId: 'acme', userId: 'ada' };
    expect(await send('alive=', { Origin: 'https://app.example' })).toEqual(actor);
    expect(await send('alive=', { 'Sec-Fetch-Site': 'same-origin' })).toEqual(actor);
    expect(await send('alive=', { Origin: 'https://evil.example' })).toBeNull();
    expect(await send('alive=', { 'Sec-Fetch-Site': 'cross-site' })).toBeNull();
    expect(await send('alive=', {})).toBeNull();
  });

  it('are refused when they expired or are not known', async () => {
    for (const id of ['expired', 'unknown', '']) expect(await send(id, { Origin: 'https://app.example' })).toBeNull();
    expect(await resolve(makeRequest({ Origin: 'https://app.example' }))).toBeNull();
  });
});

describe('keys of machines', () => {
  it('open the scope of their tenant until they are revoked', async () => {
    const [live, revoked] = [createApiKey(), createApiKey()];
    const records = new Map<string, ApiKeyRecord>([
      [live.digest, { deviceId: 'kiosk-1', tenantId: 'acme', isRevoked: false }],
      [revoked.digest, { deviceId: 'kiosk-2', tenantId: 'acme', isRevoked: true }],
    ]);
    const resolve = createApiKeyResolver(async (digest) => records.get(digest) ?? null);
    expect(await resolve(makeRequest({ 'X-Api-Key': live.key }))).toEqual({ scopeId: 'acme', userId: 'kiosk-1' });
    for (const key of [revoked.key, createApiKey().key, live.digest, '']) {
      expect(await resolve(makeRequest({ 'X-Api-Key': key }))).toBeNull();
    }
  });
});

describe('the hook in the server', () => {
  it('turns null into 401, and a throw into 503, which devices retry', async () => {
    const answer = async (resolveActor: Resolve): Promise<number> => {
      const server = createSyncServer({
        database: UNREACHABLE,
        registeredTables: [{ table: 'notes', syncKeyColumn: 'id' }],
        resolveActor,
      });
      const { status } = await server.fetch(makeRequest({}));
      await server.close();
      return status;
    };
    expect(await answer(async () => null)).toBe(401);
    expect(await answer(() => Promise.reject(new Error('the identity provider is out of order')))).toBe(503);
  });
});
