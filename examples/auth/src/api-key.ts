/** Keys of machines: a kiosk, a scale, a back office. Long-lived, so each can be revoked on its own. */
import { createHash, randomBytes } from 'node:crypto';

import type { ActorIdentity } from '@oversync/server';

export interface ApiKeyRecord {
  readonly deviceId: string;
  readonly tenantId: string;
  readonly isRevoked: boolean;
}

const KEY_PATTERN = /^sk_[A-Za-z0-9_-]{43}$/;

/** A new key, to be shown once, and the digest of it that is stored. */
export function createApiKey(): { readonly key: string; readonly digest: string } {
  const key = `sk_${randomBytes(32).toString('base64url')}`;
  return { key, digest: digestApiKey(key) };
}

/** Keys have 256 random bits: nobody can try them all, so a fast hash will do, and the look-up by it leaks nothing by its timing. */
export function digestApiKey(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}

/** Makes the hook `resolveActor`. The device is the user, so with `bindSourcesToUser` one device cannot go on as another. */
export function createApiKeyResolver(
  findKey: (digest: string) => Promise<ApiKeyRecord | null>,
): (request: Request) => Promise<ActorIdentity | null> {
  return async (request) => {
    const key = request.headers.get('x-api-key') ?? '';
    if (!KEY_PATTERN.test(key)) return null;
    const record = await findKey(digestApiKey(key));
    return record === null || record.isRevoked ? null : { scopeId: record.tenantId, userId: record.deviceId };
  };
}
