import { createServer } from 'node:http';
import type { RequestListener, Server } from 'node:http';

import type { AdapterUnderTest, ConformanceHandler } from '../testing/index.ts';
import type { FetchHandler } from './serve-node.ts';

/** A handler that can be exchanged while the server that it is mounted in stays. */
export interface SwitchableHandler extends FetchHandler {
  current: ConformanceHandler;
}

export function createSwitchableHandler(): SwitchableHandler {
  const handler: SwitchableHandler = {
    current: () => Promise.reject(new Error('no handler')),
    fetch: (request) => handler.current(request),
  };
  return handler;
}

/** Speaks over real HTTP to a server that has `handler` mounted. */
export function createHttpAdapter(handler: SwitchableHandler, url: string): AdapterUnderTest {
  return {
    send: (current, path, init) => {
      handler.current = current;
      return fetch(`${url}${path}`, init);
    },
  };
}

/** Listens on a free port; `close` ends open connections. */
export async function listen(listener: RequestListener): Promise<{ readonly url: string; readonly close: () => void }> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return { url: getUrl(server), close: () => void (server.closeAllConnections(), server.close()) };
}

function getUrl(server: Server): string {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return `http://127.0.0.1:${String(address.port)}`;
}
