import { AsyncLocalStorage } from 'node:async_hooks';

import { context, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import type { Context, ContextManager } from '@opentelemetry/api';
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { newScope, openTestServer, pushNotes } from '../test-server.ts';
import type { TestServer } from '../test-server.ts';
import { createOtelBridge } from './otel-bridge.ts';

/** What the Node SDK installs, in few lines: the active context follows asynchronous calls. */
class FollowingContext implements ContextManager {
  readonly #storage = new AsyncLocalStorage<Context>();
  active = () => this.#storage.getStore() ?? ROOT_CONTEXT;
  with: ContextManager['with'] = (active, fn, thisArg, ...args) => this.#storage.run(active, () => fn.apply(thisArg, args));
  bind: ContextManager['bind'] = (_context, target) => target;
  enable = () => this;
  disable = () => this;
}

const exporter = new InMemorySpanExporter();
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
const tracer = provider.getTracer('test');
let target: TestServer;

beforeAll(async () => {
  context.setGlobalContextManager(new FollowingContext());
  target = await openTestServer({ onEvent: createOtelBridge({ tracer }), compression: { minBytes: 1 } });
});
afterAll(async () => {
  context.disable();
  await target.close();
  await provider.shutdown();
});

test.each([
  ['connect', 'POST', '/sync/connect', {}],
  ['pull', 'GET', '/sync/pull', {}],
  ['pull', 'GET', '/sync/pull', { headers: { 'accept-encoding': 'gzip' } }],
  ['push_chunk', 'POST', '/sync/push-sessions/6df0d8dd-a84b-43b6-bbca-8de70432922a/chunks', {}],
] as const)(
  '[O7] the span of %s (%s %s) belongs to the span of the host that served it',
  async (operation, method, path, options) => {
    const scope = newScope();
    await target.call('POST', '/sync/connect', { scope, body: {} });
    await pushNotes(target, 1, [{ op: 'INSERT', id: 'a' }], { scope });
    exporter.reset();
    const host = tracer.startSpan('host');
    const body = method === 'POST' ? { body: {} } : {};
    await context.with(trace.setSpan(context.active(), host), () =>
      target.raw(method, path, { scope, ...body, ...options }).then((response) => response.arrayBuffer()),
    );
    const span = exporter.getFinishedSpans().find(({ name }) => name === `oversync.${operation}`);
    expect(span?.parentSpanContext?.spanId).toBe(host.spanContext().spanId);
  },
);
