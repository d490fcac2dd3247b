/** Serves a Web-standard handler from Express 5. */
import type { IncomingMessage, ServerResponse } from 'node:http';

import { serveNode } from './serve-node.ts';
import type { FetchHandler } from './serve-node.ts';

export type { FetchHandler } from './serve-node.ts';

/** A handler for `app.use`. Described by its shape, so that no version of Express has to be installed for the types. */
export type ExpressHandler = (
  req: IncomingMessage & { readonly originalUrl: string },
  res: ServerResponse,
  next: (error?: unknown) => void,
) => void;

/**
 * Makes an Express handler out of a server. Mount it before body parsers and before compression: the body is read, and the answer
 * compressed, by the handler itself. The whole path counts, so it makes no difference whether it is mounted at `/sync` or above.
 *
 * A request whose body something else has read goes to Express's error handler; the client would otherwise be told that its body is empty.
 *
 * @example
 * ```ts
 * app.use('/sync', createExpressHandler(server));
 * app.use('/syncx', createExpressHandler(server.ops));
 * app.use(express.json());
 * ```
 */
export function createExpressHandler(handler: FetchHandler): ExpressHandler {
  return (req, res, next) => {
    if (req.readableDidRead) {
      next(new Error('the body of a sync request was read before it arrived: mount the sync handler before any body parser'));
      return;
    }
    void serveNode(handler, req, res, req.originalUrl);
  };
}
