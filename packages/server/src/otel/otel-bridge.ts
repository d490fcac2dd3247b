import { metrics, trace } from '@opentelemetry/api';
import type { Attributes, Meter, Tracer } from '@opentelemetry/api';

import type { ServerEvent } from '../engine/events.ts';
import { createMeasurer } from './otel-metrics.ts';
import { SpanRecorder } from './otel-spans.ts';

/** Name of the instrumentation scope. */
const SCOPE_NAME = '@oversync/server';

export interface OtelBridgeOptions {
  /** Default: the meter of the global provider. */
  readonly meter?: Meter;
  /** Default: the tracer of the global provider. */
  readonly tracer?: Tracer;
  /**
   * More attributes for the span of a request, for example the scope. The library adds none that names a scope or a user, because
   * only the host knows what may leave its house.
   */
  readonly requestAttributes?: (event: ServerEvent) => Attributes;
}

/**
 * Turns the events of a server into metrics and spans of OpenTelemetry; the result is for the option `onEvent`.
 *
 * A span is made for each request, and below it for its commit and the image it built; other events of the request are events
 * of its span. Maintenance work has spans of its own. The span of a request belongs to the context that is active when the
 * answer is ready, normally that of the host's HTTP instrumentation. Without a provider nothing is recorded and nothing fails.
 *
 * @example
 * ```ts
 * const server = createSyncServer({ ...options, onEvent: createOtelBridge() });
 * ```
 */
export function createOtelBridge(options: OtelBridgeOptions = {}): (event: ServerEvent) => void {
  const measure = createMeasurer(options.meter ?? metrics.getMeter(SCOPE_NAME));
  const tracer = options.tracer ?? trace.getTracer(SCOPE_NAME);
  const spans = new SpanRecorder(tracer, options.requestAttributes ?? (() => ({})));
  return (event) => {
    measure(event);
    spans.record(event);
  };
}
