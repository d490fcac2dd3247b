/** Serves a Web-standard handler from Fastify 5. */
import type { FastifyPluginCallback, FastifyReply } from 'fastify';

import { serveNode } from './serve-node.ts';
import type { FetchHandler } from './serve-node.ts';

export type { FetchHandler } from './serve-node.ts';

/**
 * Makes a Fastify plugin out of a server: it takes every request below the prefix it is registered with. Fastify's body parsers,
 * `bodyLimit`, validation and serialisation have no part in it: the request is taken over as soon as Fastify's `onRequest` hooks have
 * run, with the headers that they have set on the reply (CORS, for example).
 *
 * @example
 * ```ts
 * app.register(createFastifyPlugin(server), { prefix: '/sync' });
 * app.register(createFastifyPlugin(server.ops), { prefix: '/syncx' });
 * ```
 */
export function createFastifyPlugin(handler: FetchHandler): FastifyPluginCallback {
  return (app, _options, done) => {
    app.all('/*', {
      onRequest: async (request, reply) => {
        takeOver(reply);
        await serveNode(handler, request.raw, reply.raw);
      },
      handler: () => Promise.reject(new Error('a sync request was not taken over')),
    });
    done();
  };
}

/** Fastify writes the headers of a reply only when it sends the reply itself. */
function takeOver(reply: FastifyReply): void {
  reply.hijack();
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    if (value !== undefined) reply.raw.setHeader(name, value);
  }
}
