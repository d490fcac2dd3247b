import type { Sha256Factory } from '@oversync/protocol';

import type { OwnershipLock } from './lock.ts';
import type { StageFile } from './stage-file.ts';
import type { GzipBytes } from './transport.ts';

/** Ports that a driver brings along because it knows its platform. An option of the same name wins. */
export interface PlatformPorts {
  /** Keeps other processes away from the database while a client has it open (client.md 2.4). */
  readonly lock?: OwnershipLock;
  readonly sha256?: Sha256Factory;
  readonly gzip?: GzipBytes;
  /** Where a snapshot is staged outside the database; without one it is staged inside. */
  readonly stageFile?: StageFile;
}
