import { expect, test } from 'vitest';

import { INSTRUMENTS, listInstruments } from './instruments.ts';
import { measureEvent } from './measure.ts';
import { SAMPLE_EVENTS } from './test-events.ts';

const samples = Object.values(SAMPLE_EVENTS).map((event) => ({ event, measurements: measureEvent(event) }));

test.each(samples)(
  '$event.name: every value belongs to a figure, with the labels that the figure declares',
  ({ measurements }) => {
    expect(measurements.length).toBeGreaterThan(0);
    for (const { name, value, labels } of measurements) {
      expect(Number.isFinite(value)).toBe(true);
      expect(INSTRUMENTS[name].labels).toEqual(expect.arrayContaining(Object.keys(labels)));
    }
  },
);

test('every figure is fed by some event', () => {
  const fed = new Set(samples.flatMap(({ measurements }) => measurements.map(({ name }) => name)));
  expect(listInstruments().map(([name]) => name)).toStrictEqual(expect.arrayContaining([...fed]));
  expect(listInstruments().filter(([name]) => !fed.has(name))).toStrictEqual([]);
});

test('no label tells who it was', () => {
  const values = samples.flatMap(({ measurements }) => measurements.flatMap(({ labels }) => Object.values(labels)));
  expect(values.filter((value) => value.includes('secret'))).toStrictEqual([]);
});

test('durations are seconds, and the code of a refusal is a label', () => {
  expect(measureEvent(SAMPLE_EVENTS.request)).toContainEqual({
    name: 'request.duration',
    value: 0.012,
    labels: { operation: 'pull', status: '409', code: 'history_pruned' },
  });
});

test('an image that is used again is not counted as built', () => {
  expect(measureEvent(SAMPLE_EVENTS.snapshotReused).map(({ name }) => name)).not.toContain('snapshot.bytes');
  expect(measureEvent(SAMPLE_EVENTS.snapshotBuilt)).toContainEqual({
    name: 'snapshot.bytes',
    value: 300,
    labels: { kind: 'built' },
  });
});
