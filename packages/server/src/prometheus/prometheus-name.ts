import type { Instrument } from '../metrics/instruments.ts';

const UNIT_SUFFIXES: Readonly<Record<string, string>> = { s: '_seconds', By: '_bytes' };

/** The name by the conventions of Prometheus: base unit at the end, `_total` for counters. */
export function toPrometheusName(prefix: string, name: string, instrument: Instrument): string {
  const words = `${prefix}${name.replaceAll('.', '_')}`;
  const suffix = UNIT_SUFFIXES[instrument.unit] ?? '';
  const base = words.endsWith(suffix) ? words : `${words}${suffix}`;
  return instrument.kind === 'counter' ? `${base}_total` : base;
}
