import type { Attributes, Meter } from '@opentelemetry/api';

import type { ServerEvent } from '../engine/events.ts';
import { listInstruments } from '../metrics/instruments.ts';
import type { Instrument, Label } from '../metrics/instruments.ts';
import { measureEvent } from '../metrics/measure.ts';
import type { Measurement } from '../metrics/measure.ts';

/** Attribute names: those of the semantic conventions where there is one. */
export const ATTRIBUTE_NAMES: Readonly<Record<Label, string>> = {
  operation: 'oversync.operation',
  status: 'http.response.status_code',
  code: 'error.type',
  kind: 'oversync.kind',
  phase: 'oversync.phase',
  reason: 'oversync.reason',
  violation: 'oversync.violation',
  limit: 'oversync.limit',
  sqlstate: 'db.response.status_code',
  table: 'db.collection.name',
};

/** Creates all instruments at once and returns what records an event in them. */
export function createMeasurer(meter: Meter): (event: ServerEvent) => void {
  const recorders = new Map(listInstruments().map(([name, instrument]) => [name, createRecorder(meter, name, instrument)]));
  return (event) => {
    for (const measurement of measureEvent(event)) recorders.get(measurement.name)?.(measurement);
  };
}

function createRecorder(meter: Meter, name: string, instrument: Instrument): (measurement: Measurement) => void {
  const fullName = `oversync.${name}`;
  const { description, unit, bounds } = instrument;
  switch (instrument.kind) {
    case 'counter': {
      const counter = meter.createCounter(fullName, { description, unit });
      return ({ value, labels }) => counter.add(value, toAttributes(labels));
    }
    case 'gauge': {
      const gauge = meter.createGauge(fullName, { description, unit });
      return ({ value, labels }) => gauge.record(value, toAttributes(labels));
    }
    case 'histogram': {
      const advice = bounds === undefined ? {} : { advice: { explicitBucketBoundaries: [...bounds] } };
      const histogram = meter.createHistogram(fullName, { description, unit, ...advice });
      return ({ value, labels }) => histogram.record(value, toAttributes(labels));
    }
  }
}

function toAttributes(labels: Measurement['labels']): Attributes {
  const attributes: Attributes = {};
  for (const [label, value] of Object.entries(labels)) {
    if (isLabel(label)) attributes[ATTRIBUTE_NAMES[label]] = label === 'status' ? Number(value) : value;
  }
  return attributes;
}

function isLabel(name: string): name is Label {
  return Object.hasOwn(ATTRIBUTE_NAMES, name);
}
