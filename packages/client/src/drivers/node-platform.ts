import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

import type { Sha256Factory } from '@oversync/protocol';

import type { PlatformPorts } from '../ports/platform.ts';
import type { StageFile } from '../ports/stage-file.ts';
import type { GzipBytes } from '../ports/transport.ts';
import { createNodeOwnershipLock } from './node-ownership-lock.ts';

/** A third of the time of the default level, for bodies that are a little larger. */
const GZIP_LEVEL = 1;

const gzipAsync = promisify(gzip);

const gzipBytes: GzipBytes = async (bytes) => Uint8Array.from(await gzipAsync(bytes, { level: GZIP_LEVEL }));

const sha256: Sha256Factory = () => {
  const hash = createHash('sha256');
  return {
    update: (input) => {
      hash.update(input);
    },
    digestHex: () => hash.digest('hex'),
  };
};

/** Beside the database, so that it has its owner, its rights and its room. */
function stageFileOf(databaseFile: string): StageFile {
  const path = `${databaseFile}-oversync-stage`;
  return {
    path,
    remove: async () => {
      await Promise.all([path, `${path}-journal`, `${path}-wal`, `${path}-shm`].map((file) => rm(file, { force: true })));
    },
  };
}

/** What Node does better than the portable defaults. `databaseFile` is `null` for a database in memory, which needs no lock and no file. */
export function createNodePlatform(databaseFile: string | null): PlatformPorts {
  const ports = { sha256, gzip: gzipBytes };
  if (databaseFile === null) return ports;
  return { ...ports, lock: createNodeOwnershipLock(databaseFile), stageFile: stageFileOf(databaseFile) };
}
