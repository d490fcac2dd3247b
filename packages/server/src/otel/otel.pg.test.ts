import { context, trace } from '@opentelemetry/api';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import type { MetricData } from '@opentelemetry/sdk-metrics';
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import type { ReadableSpan } from '@opentelemetry/sdk-trace-base';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { newScope, openTestServer, pushNotes } from '../test-server.ts';
import type { TestServer } from '../test-server.ts';
import { createOtelBridge } from './otel-bridge.ts';

const spanExporter = new InMemorySpanExporter();
const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spanExporter)] });
const metricExporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
const reader = new PeriodicExportingMetricReader({ exporter: metricExporter, exportIntervalMillis: 3_600_000 });
const meterProvider = new MeterProvider({ readers: [reader] });

const scope = newScope();
let target: TestServer;

/** Everything that the metrics have to tell happens once, so that each test reads exact numbers. */
beforeAll(async () => {
  const onEvent = createOtelBridge({
    meter: meterProvider.getMeter('test'),
    tracer: tracerProvider.getTracer('test'),
    requestAttributes: ({ userId }) => (userId === undefined ? {} : { 'enduser.id': userId }),
  });
  target = await openTestServer({ onEvent, retainedBundlesPerScope: 2, watch: { enabled: true } });
  await target.call('POST', '/sync/connect', { scope, user: 'anna', body: {} });
  await pushNotes(
    target,
    1,
    [
      { op: 'INSERT', id: 'a' },
      { op: 'INSERT', id: 'b' },
    ],
    { scope },
  );
  await pushNotes(target, 2, [{ op: 'UPDATE', id: 'a', base: 1 }], { scope });
  await pushNotes(target, 3, [{ op: 'UPDATE', id: 'a', base: 2 }], { scope });
  const row = {
    schema: 'business',
    table: 'notes',
    key: { id: 'c' },
    op: 'INSERT',
    base_row_version: 0,
    payload: { id: 'c', title: 't' },
  };
  const create = { source_bundle_id: 4, planned_row_count: 2, canonical_request_hash: 'a'.repeat(64) };
  const { json } = await target.call('POST', '/sync/push-sessions', { scope, body: create });
  const path = `/sync/push-sessions/${json.push_id}`;
  for (let repeat = 0; repeat < 2; repeat += 1) {
    await target.call('POST', `${path}/chunks`, { scope, body: { start_row_ordinal: 0, rows: [row] } });
  }
  await target.call('POST', `${path}/chunks`, {
    scope,
    body: { start_row_ordinal: 1, rows: [{ ...row, payload: { id: 'c', title: 't', amount: '1.5' } }] },
  });
  await target.call('POST', `${path}/commit`, { scope });
  await pushNotes(target, 4, [{ op: 'INSERT', id: 'a' }], { scope }).catch(() => {});
  await target.call('POST', '/sync/push-sessions', { scope, body: { ...create, source_bundle_id: 1 } });
  await target.call('GET', '/sync/pull', { scope });
  await target.call('GET', '/sync/pull?after_bundle_seq=2', { scope });
  await target.call('GET', '/sync/pull?after_bundle_seq=99', { scope });
  await target.call('GET', '/sync/committed-bundles/1/rows', { scope });
  await target.call('GET', '/sync/committed-bundles/3/rows', { scope });
  const image = await target.call('POST', '/sync/snapshot-sessions', { scope });
  await target.call('POST', '/sync/snapshot-sessions', { scope, source: 'device-b' });
  await target.call('GET', `/sync/snapshot-sessions/${image.json.snapshot_id}`, { scope });
  await target.server.maintain();
  await reader.forceFlush();
});
afterAll(async () => {
  await target.close();
  await Promise.all([meterProvider.shutdown(), tracerProvider.shutdown()]);
});

function findMetric(name: string): MetricData {
  const all = metricExporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics));
  const found = all.findLast(({ descriptor }) => descriptor.name === `oversync.${name}`);
  if (found === undefined) throw new Error(`no metric ${name}: ${all.map(({ descriptor }) => descriptor.name).join(' ')}`);
  return found;
}

/** Values of a counter, or counts of a histogram, by the attributes that matter. */
function readMetric(name: string, ...attributes: readonly string[]): Readonly<Record<string, number>> {
  const points = findMetric(name).dataPoints.map(({ attributes: present, value }) => [
    attributes.map((attribute) => String(present[attribute] ?? '')).join(' '),
    typeof value === 'number' ? value : value.count,
  ]);
  return Object.fromEntries(points) as Record<string, number>;
}

function findSpans(name: string): readonly ReadableSpan[] {
  return spanExporter.getFinishedSpans().filter((span) => span.name === name);
}

describe('[O7] metrics', () => {
  test('commits, their rows and their phases', () => {
    expect(readMetric('push.commits')).toStrictEqual({ '': 3 });
    expect(readMetric('push.rows')).toStrictEqual({ '': 4 });
    expect(readMetric('push.commit.duration', 'oversync.phase')).toStrictEqual({ lock_wait: 3, apply: 3, finalise: 3 });
  });

  test('pruned history is counted wherever it is refused', () => {
    expect(readMetric('history.refusals', 'oversync.operation', 'oversync.kind')).toStrictEqual({
      'push_session_create pruned': 1,
      'pull pruned': 1,
      'pull ahead': 1,
      'committed_bundle_rows pruned': 1,
    });
  });

  test('replays, refused pushes and conflicts', () => {
    expect(readMetric('push.replays', 'oversync.kind')).toStrictEqual({ chunk: 1 });
    expect(readMetric('push.rejections', 'error.type', 'oversync.violation')).toStrictEqual({
      'push_chunk_invalid number_format': 1,
      'push_commit_invalid ': 1,
    });
    expect(readMetric('push.conflicted')).toStrictEqual({ '': 1 });
  });

  test('pages and images', () => {
    expect(readMetric('read.pages', 'oversync.kind')).toStrictEqual({ pull: 1, committed_rows: 1 });
    expect(readMetric('snapshot.operations', 'oversync.kind')).toStrictEqual({ built: 1, reused: 1, chunk: 1 });
    expect(readMetric('snapshot.rows', 'oversync.kind')).toStrictEqual({ built: 2, chunk: 2 });
  });

  test('requests by operation, status and code, in seconds', () => {
    const counts = readMetric('request.duration', 'oversync.operation', 'http.response.status_code', 'error.type');
    expect(counts).toMatchObject({ 'pull 200 ': 1, 'pull 409 history_pruned': 1, 'push_session_commit 409 push_conflict': 1 });
    const { descriptor, dataPoints } = findMetric('request.duration');
    expect(descriptor.unit).toBe('s');
    expect(JSON.stringify(dataPoints)).not.toContain(scope);
  });

  test('no attribute of any metric tells who it was', () => {
    const all = metricExporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics));
    const text = JSON.stringify(all.flatMap(({ dataPoints }) => dataPoints.map(({ attributes }) => attributes)));
    for (const secret of [scope, 'device-a', 'anna']) expect(text).not.toContain(secret);
  });
});

describe('[O7] spans', () => {
  test('a commit stands below its request, inside its time', () => {
    const requests = findSpans('oversync.push_session_commit').filter(
      ({ attributes }) => attributes['http.response.status_code'] === 200,
    );
    const commits = findSpans('oversync.commit');
    expect([requests.length, commits.length]).toStrictEqual([3, 3]);
    for (const commit of commits) {
      const request = requests.find((span) => span.spanContext().spanId === commit.parentSpanContext?.spanId);
      expect(request?.spanContext().traceId).toBe(commit.spanContext().traceId);
      expect(toMs(commit.endTime)).toBeLessThanOrEqual(toMs(request?.endTime));
      expect(toMs(commit.startTime)).toBeGreaterThanOrEqual(toMs(request?.startTime) - 1);
      expect(commit.attributes).toMatchObject({ 'oversync.attempts': 1 });
    }
  });

  test('an image that is built is a span, one that is reused an event of its request', () => {
    expect(findSpans('oversync.snapshot_build')).toHaveLength(1);
    expect(findSpans('oversync.snapshot_session_create').flatMap(({ events }) => events.map(({ name }) => name))).toContain(
      'oversync.snapshotReused',
    );
  });

  test('refusals are attributes and events, not errors of the server', () => {
    const refused = findSpans('oversync.push_session_commit').find(
      ({ attributes }) => attributes['error.type'] === 'push_conflict',
    );
    expect(refused?.status.code).toBe(0);
    expect(refused?.events.map(({ name, attributes }) => [name, attributes])).toStrictEqual([
      ['oversync.pushConflict', { 'oversync.count': 1 }],
    ]);
  });

  test('maintenance has spans of its own', () => {
    expect(findSpans('oversync.maintenance').map(({ attributes }) => attributes['oversync.kind'])).toContain('push_sessions');
  });

  test('only what the host adds tells who it was', () => {
    expect(findSpans('oversync.connect').map(({ attributes }) => attributes['enduser.id'])).toStrictEqual(['anna']);
    const text = JSON.stringify(spanExporter.getFinishedSpans().map(({ attributes, events }) => [attributes, events]));
    for (const secret of [scope, 'device-a']) expect(text).not.toContain(secret);
  });
});

test('without a provider nothing is recorded and nothing fails', () => {
  const onEvent = createOtelBridge();
  expect(() => onEvent({ name: 'pushReplayed', correlationId: 'x' })).not.toThrow();
  expect(trace.getSpan(context.active())).toBeUndefined();
});

function toMs(time: readonly [number, number] | undefined): number {
  return time === undefined ? Number.NaN : time[0] * 1000 + time[1] / 1e6;
}
