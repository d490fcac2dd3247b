/** The server of a benchmark in a process of its own, so that its memory is its own and both cores are used. */
import { createServer } from 'node:http';
import { monitorEventLoopDelay } from 'node:perf_hooks';

import { useExternalPostgres } from '@oversync/dev-postgres';
import { startReferenceServer } from '@oversync/reference-server-example';

import { serveParent } from './ipc.ts';

const [databaseUrl, jwtSecret] = process.argv.slice(2);
if (databaseUrl === undefined || jwtSecret === undefined) throw new Error('usage: server-process <database URL> <secret>');

const server = await startReferenceServer({
  postgres: useExternalPostgres(databaseUrl),
  jwtSecret,
  devSignIn: true,
  port: 0,
});

/** Milliseconds between two looks at the clock; part of every delay that is measured. */
const LOOP_RESOLUTION_MS = 1;
const NANOSECONDS_PER_MS = 1e6;
const loopDelay = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS });

serveParent({
  url: () => Promise.resolve(server.url),
  startPlainStreams: () =>
    new Promise<string>((resolve, reject) => {
      const plain = createServer((_request, response) => {
        response.writeHead(200, { 'Content-Type': 'text/event-stream' });
        response.write(': connected\n\n');
      });
      plain.on('error', reject);
      plain.unref().listen(0, '127.0.0.1', () => {
        const address = plain.address();
        resolve(`http://127.0.0.1:${typeof address === 'object' ? address?.port : address}`);
      });
    }),
  startLoopDelay: () => {
    loopDelay.reset();
    loopDelay.enable();
    return Promise.resolve();
  },
  stopLoopDelay: () => {
    loopDelay.disable();
    return Promise.resolve(Math.max(0, loopDelay.max / NANOSECONDS_PER_MS - LOOP_RESOLUTION_MS));
  },
  memory: () => {
    globalThis.gc?.();
    const { rss, heapUsed, external } = process.memoryUsage();
    return Promise.resolve({ rssBytes: rss, usedBytes: heapUsed + external });
  },
  stop: () => server.close(),
});
