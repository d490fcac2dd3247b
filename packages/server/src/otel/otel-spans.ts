import { context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { Attributes, Context, Span, Tracer } from '@opentelemetry/api';

import type { ServerEvent } from '../engine/events.ts';
import { SPAN_EVENTS_PER_REQUEST_MAX, SPAN_PENDING_REQUESTS_MAX } from '../limits.ts';

type RequestEvent = Extract<ServerEvent, { readonly name: 'request' }>;

interface TimedEvent {
  readonly event: ServerEvent;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/**
 * Makes spans afterwards, from events that carry their duration: a request announces itself when it is over, so what happened
 * inside it is kept until then and becomes its children.
 */
export class SpanRecorder {
  readonly #tracer: Tracer;
  readonly #requestAttributes: (event: ServerEvent) => Attributes;
  readonly #pending = new Map<string, TimedEvent[]>();

  constructor(tracer: Tracer, requestAttributes: (event: ServerEvent) => Attributes) {
    this.#tracer = tracer;
    this.#requestAttributes = requestAttributes;
  }

  record(event: ServerEvent): void {
    const at = performance.timeOrigin + performance.now();
    if (event.name === 'request') this.#endRequest(event, at);
    else if (event.name === 'maintenanceRun') this.#recordMaintenance(event, at);
    // A stream ends long after its request was answered.
    else if (event.correlationId !== undefined && event.name !== 'watchClosed') this.#keep(event.correlationId, { event, at });
  }

  #keep(correlationId: string, timed: TimedEvent): void {
    const kept = this.#pending.get(correlationId);
    if (kept !== undefined) {
      if (kept.length < SPAN_EVENTS_PER_REQUEST_MAX) kept.push(timed);
      return;
    }
    this.#pending.set(correlationId, [timed]);
    if (this.#pending.size <= SPAN_PENDING_REQUESTS_MAX) return;
    const [oldest] = this.#pending.keys();
    if (oldest !== undefined) this.#pending.delete(oldest);
  }

  #endRequest(event: RequestEvent, at: number): void {
    const { correlationId = '' } = event;
    const kept = this.#pending.get(correlationId) ?? [];
    this.#pending.delete(correlationId);
    const attributes = { ...describeRequest(event), ...this.#requestAttributes(event) };
    const span = this.#start(`oversync.${event.operation}`, at - event.durationMs, attributes, context.active());
    const inside = trace.setSpan(context.active(), span);
    for (const timed of kept) this.#recordInside(span, inside, timed);
    if (event.status >= 500) span.setStatus({ code: SpanStatusCode.ERROR, message: event.code ?? String(event.status) });
    span.end(at);
  }

  #recordInside(request: Span, inside: Context, { event, at }: TimedEvent): void {
    switch (event.name) {
      case 'pushCommitted': {
        const durationMs = event.lockWaitMs + event.applyMs + event.finaliseMs;
        this.#start('oversync.commit', at - durationMs, describe(event), inside).end(at);
        return;
      }
      case 'snapshotBuilt':
        this.#start('oversync.snapshot_build', at - event.durationMs, describe(event), inside).end(at);
        return;
      default:
        request.addEvent(`oversync.${event.name}`, describe(event), at);
    }
  }

  #recordMaintenance(event: Extract<ServerEvent, { readonly name: 'maintenanceRun' }>, at: number): void {
    this.#start('oversync.maintenance', at - event.durationMs, describe(event), context.active()).end(at);
  }

  #start(name: string, startTime: number, attributes: Attributes, parent: Context): Span {
    return this.#tracer.startSpan(name, { kind: SpanKind.INTERNAL, startTime, attributes }, parent);
  }
}

function describeRequest(event: RequestEvent): Attributes {
  return {
    'oversync.operation': event.operation,
    'http.response.status_code': event.status,
    'oversync.request.size': event.bytesIn,
    'oversync.response.size': event.bytesOut,
    ...(event.code === undefined ? {} : { 'error.type': event.code }),
    ...(event.correlationId === undefined ? {} : { 'oversync.correlation_id': event.correlationId }),
  };
}

/** Who it was is not said: the request's span is where the host may add that. */
const HIDDEN: ReadonlySet<string> = new Set(['name', 'scopeId', 'userId', 'correlationId']);

function describe(event: ServerEvent): Attributes {
  const attributes: Attributes = {};
  for (const [field, value] of Object.entries<unknown>({ ...event })) {
    if (HIDDEN.has(field)) continue;
    if (typeof value === 'string' || typeof value === 'number') attributes[`oversync.${toSnakeCase(field)}`] = value;
  }
  return attributes;
}

function toSnakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
