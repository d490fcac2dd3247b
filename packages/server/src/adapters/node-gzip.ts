import { pipeline, Readable } from 'node:stream';
import { constants, createGzip } from 'node:zlib';

import { readStream, toByteStream } from '../http/byte-stream.ts';
import type { Gzip } from '../ports/gzip.ts';

/** Level 1 is half again as fast as the platform's default and a tenth larger. */
export const nodeGzip: Gzip = (body) => {
  const gzip = createGzip({ level: constants.Z_BEST_SPEED });
  // A fault of the body destroys the compressor, whose iterator then reports it.
  pipeline(Readable.from(readStream(body)), gzip, () => {});
  return toByteStream(gzip, () => {});
};
