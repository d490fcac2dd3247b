import { Counter, Registry } from 'prom-client';
import { expect, test } from 'vitest';

import type { StatusBody } from '../engine/health.ts';
import { SAMPLE_EVENTS } from '../metrics/test-events.ts';
import { createPrometheusMetrics } from './prometheus-metrics.ts';

const STATUS: StatusBody = { status: 'healthy', inflight_operations: 2, accepting_operations: true, latest_bundle_seq_max: 0n };

test('every figure is on the page by the conventions of Prometheus', async () => {
  const { onEvent, metrics } = createPrometheusMetrics();
  for (const event of Object.values(SAMPLE_EVENTS)) onEvent(event);
  const { contentType, text } = await metrics(STATUS);
  expect(contentType).toContain('text/plain');
  expect(text).toContain('oversync_request_duration_seconds_count{operation="pull",status="409",code="history_pruned"} 1');
  expect(text).toContain('oversync_push_bytes_total 321');
  expect(text).toContain('oversync_push_conflicts_total 4');
  expect(text).toContain(
    'oversync_push_rejections_total{code="push_commit_invalid",violation="unique",limit="maxRowsPerBundle"} 1',
  );
  expect(text).toContain('oversync_history_refusals_total{operation="pull",kind="pruned"} 1');
  expect(text).toContain('oversync_watch_streams 2');
  expect(text).toContain('oversync_inflight_operations 2');
  expect(text).not.toContain('secret');
  const names = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => [name, type] as const);
  expect(
    names.filter(([name, type]) => !/^oversync_[a-z_]+$/.test(name) || name.endsWith('_total') !== (type === 'counter')),
  ).toStrictEqual([]);
});

test('figures of the database are left out until somebody has counted them', async () => {
  const { metrics } = createPrometheusMetrics();
  expect((await metrics(STATUS)).text).not.toMatch(/^oversync_latest_bundle_seq_max /m);
  const counted = await metrics({ ...STATUS, latest_bundle_seq_max: 156n, stats_as_of: '2026-07-22T12:00:00Z' });
  expect(counted.text).toMatch(/^oversync_latest_bundle_seq_max 156$/m);
  expect((await metrics(STATUS)).text).not.toMatch(/^oversync_latest_bundle_seq_max /m);
});

test('the host can keep them in its own registry, under its own prefix', async () => {
  const registry = new Registry();
  new Counter({ name: 'host_requests_total', help: 'of the host', registers: [registry] }).inc();
  const { metrics } = createPrometheusMetrics({ registry, prefix: 'notes_sync_' });
  const { text } = await metrics(STATUS);
  expect(text).toContain('host_requests_total 1');
  expect(text).toContain('notes_sync_accepting_operations 1');
});
