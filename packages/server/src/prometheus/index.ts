/** `@oversync/server/prometheus`: the figures of a server on a page for Prometheus. Needs the peer dependency `prom-client`. */
export { createPrometheusMetrics } from './prometheus-metrics.ts';
export type { PrometheusMetrics, PrometheusOptions } from './prometheus-metrics.ts';
