import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

import { listInstruments } from '../metrics/instruments.ts';
import { createPrometheusMetrics } from './prometheus-metrics.ts';
import { toPrometheusName } from './prometheus-name.ts';

const guide = readFileSync(fileURLToPath(new URL('../../../../docs/guides/operations.md', import.meta.url)), 'utf8');

test('the guide lists every figure as it is', () => {
  for (const [name, instrument] of listInstruments()) {
    const labels = instrument.labels.map((label) => `\`${label}\``).join(', ');
    const prometheusName = toPrometheusName('oversync_', name, instrument);
    expect(guide).toContain(
      `| \`${prometheusName}\` | \`oversync.${name}\` | ${instrument.kind} | ${labels} | ${instrument.description} |`,
    );
  }
});

test('the guide names no figure that does not exist', async () => {
  const page = await createPrometheusMetrics().metrics({ status: 'healthy' });
  const known = new Set([...page.text.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name));
  const named = [...guide.matchAll(/oversync_[a-z_]+[a-z](?=[`{ ])/g)].map(([name]) => name.replace(/_count$/, ''));
  expect(named.filter((name) => !known.has(name) && !known.has(`${name}_count`))).toStrictEqual([]);
});
