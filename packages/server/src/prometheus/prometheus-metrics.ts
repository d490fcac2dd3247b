import { Counter, Gauge, Histogram, Registry } from 'prom-client';

import type { ServerEvent } from '../engine/events.ts';
import type { StatusBody } from '../engine/health.ts';
import type { MetricsPage } from '../engine/options.ts';
import { listInstruments } from '../metrics/instruments.ts';
import type { Instrument } from '../metrics/instruments.ts';
import { measureEvent } from '../metrics/measure.ts';
import type { Measurement } from '../metrics/measure.ts';
import { toPrometheusName } from './prometheus-name.ts';
import { StatusGauges } from './status-gauges.ts';

export interface PrometheusOptions {
  /** Where the figures are registered; default is a registry of their own, so that they are alone on the page. */
  readonly registry?: Registry;
  /** Stands before every name, default `oversync_`. */
  readonly prefix?: string;
}

/** The two hooks of a server that fills a registry and shows it. */
export interface PrometheusMetrics {
  readonly registry: Registry;
  /** For the option `onEvent`. */
  readonly onEvent: (event: ServerEvent) => void;
  /** For the option `ops.metrics`: the page of the whole registry, with the present figures of status. */
  readonly metrics: (status: StatusBody) => Promise<MetricsPage>;
}

/**
 * Keeps the figures of one or more servers of this process in a registry of prom-client.
 *
 * No label holds a scope, a user, a source, a key or a token, so the number of series does not grow with the data.
 *
 * @throws Error of prom-client when the registry already has a figure of such a name.
 *
 * @example
 * ```ts
 * const { onEvent, metrics } = createPrometheusMetrics();
 * const server = createSyncServer({ ...options, onEvent, ops: { metrics } });
 * // server.ops.fetch answers GET …/metrics
 * ```
 */
export function createPrometheusMetrics(options: PrometheusOptions = {}): PrometheusMetrics {
  const { registry = new Registry(), prefix = 'oversync_' } = options;
  const recorders = new Map(
    listInstruments().map(([name, instrument]) => [name, createRecorder(registry, prefix, name, instrument)]),
  );
  const gauges = new StatusGauges(registry, prefix);
  return {
    registry,
    onEvent: (event) => {
      for (const measurement of measureEvent(event)) recorders.get(measurement.name)?.(measurement);
    },
    metrics: async (status) => {
      gauges.set(status);
      return { contentType: registry.contentType, text: await registry.metrics() };
    },
  };
}

type Recorder = (measurement: Measurement) => void;

function createRecorder(registry: Registry, prefix: string, name: string, instrument: Instrument): Recorder {
  const common = {
    name: toPrometheusName(prefix, name, instrument),
    help: instrument.description,
    labelNames: [...instrument.labels],
    registers: [registry],
  };
  switch (instrument.kind) {
    case 'counter': {
      const counter = new Counter(common);
      return ({ labels, value }) => counter.inc(labels, value);
    }
    case 'gauge': {
      const gauge = new Gauge(common);
      return ({ labels, value }) => gauge.set(labels, value);
    }
    case 'histogram': {
      const histogram = new Histogram({
        ...common,
        ...(instrument.bounds === undefined ? {} : { buckets: [...instrument.bounds] }),
      });
      return ({ labels, value }) => histogram.observe(labels, value);
    }
  }
}
