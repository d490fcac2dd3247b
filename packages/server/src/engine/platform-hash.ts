import { createSha256 } from '@oversync/protocol';
import type { Sha256Factory } from '@oversync/protocol';

/**
 * The platform's own SHA-256 where it has a synchronous one, else the one in plain JavaScript, which takes about ten times as
 * long. Looked up at run time, because the core is not tied to Node.
 */
export const createFastSha256: Sha256Factory = findNativeFactory() ?? createSha256;

/** The platform hashes no slower than PostgreSQL. */
export const hasNativeSha256 = createFastSha256 !== createSha256;

function findNativeFactory(): Sha256Factory | undefined {
  if (typeof process === 'undefined' || typeof process.getBuiltinModule !== 'function') return undefined;
  const { createHash } = process.getBuiltinModule('node:crypto');
  return () => {
    const hash = createHash('sha256');
    return { update: (data) => void hash.update(data), digestHex: () => hash.digest('hex') };
  };
}
