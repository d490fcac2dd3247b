import { expect, test } from 'vitest';

import { newScope, openTestServer, pushNotes } from '../test-server.ts';
import { createPrometheusMetrics } from './prometheus-metrics.ts';

test('[O7] the page of a real server shows what happened to it', async () => {
  const { onEvent, metrics } = createPrometheusMetrics();
  const target = await openTestServer({ onEvent, ops: { metrics } });
  try {
    const scope = newScope();
    await target.call('POST', '/sync/connect', { scope, body: {} });
    await pushNotes(target, 1, [{ op: 'INSERT', id: 'a' }], { scope });
    await target.call('GET', '/sync/pull', { scope });
    await target.server.maintain();
    const response = await target.server.ops.fetch(new Request('http://host.test/syncx/metrics'));
    expect([response.status, response.headers.get('content-type')]).toStrictEqual([
      200,
      'text/plain; version=0.0.4; charset=utf-8',
    ]);
    const text = await response.text();
    expect(text).toMatch(/^oversync_push_commits_total 1$/m);
    expect(text).toMatch(/^oversync_read_pages_total\{kind="pull"\} 1$/m);
    expect(text).toMatch(/^oversync_request_duration_seconds_count\{operation="push_chunk",status="200"\} 1$/m);
    expect(text).toMatch(/^oversync_committed_bundle_count 1$/m);
    expect(text).not.toContain(scope);
    expect(text).not.toContain('device-a');
  } finally {
    await target.close();
  }
});
