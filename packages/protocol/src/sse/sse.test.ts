import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createSseReader, formatBundleEvent, formatSseComment, LIMITS } from '../index.ts';
import type { WatchEvent } from '../index.ts';
import { faultOf } from '../test-parse.ts';

const encoder = new TextEncoder();

function read(...pieces: readonly (string | Uint8Array)[]): {
  readonly events: readonly WatchEvent[];
  readonly comments: readonly string[];
} {
  const events: WatchEvent[] = [];
  const comments: string[] = [];
  const reader = createSseReader({ onEvent: (event) => events.push(event), onComment: (text) => comments.push(text) });
  for (const piece of pieces) reader.feed(typeof piece === 'string' ? encoder.encode(piece) : piece);
  return { events, comments };
}

function padded(length: number): string {
  return `data: {"bundle_seq":1,"pad":"${'x'.repeat(length)}"}\n`;
}

describe('[T104] event stream', () => {
  it('is written as the contract shows it', () => {
    expect(formatSseComment('connected')).toBe(': connected\n\n');
    expect(formatSseComment('a\r\nb')).toBe(': a b\n\n');
    expect(formatBundleEvent({ bundle_seq: 157n, source_id: 'device-a', source_bundle_id: 9n })).toBe(
      'event: bundle\ndata: {"bundle_seq":157,"source_id":"device-a","source_bundle_id":9}\n\n',
    );
    expect(formatBundleEvent({ bundle_seq: 2n ** 63n - 1n, source_id: undefined })).toBe(
      'event: bundle\ndata: {"bundle_seq":9223372036854775807}\n\n',
    );
  });

  it('is read back wherever it is cut', () => {
    const event = { bundle_seq: 9007199254740993n, source_id: 'device-é'.replace('é', 'a'), source_bundle_id: 7n };
    const stream = encoder.encode(
      `${formatSseComment('verbunden é😀')}${formatBundleEvent(event)}${formatBundleEvent({ bundle_seq: 9007199254740994n })}`,
    );
    const property = fc.property(fc.array(fc.nat(stream.length), { maxLength: 6 }), (cuts) => {
      const edges = [0, ...cuts.toSorted((a, b) => a - b), stream.length];
      const pieces = edges.slice(1).map((end, index) => stream.subarray(edges[index], end));
      expect(read(...pieces)).toEqual({ events: [event, { bundle_seq: 9007199254740994n }], comments: ['verbunden é😀'] });
    });
    fc.assert(property, { numRuns: 300 });
  });

  it('takes every line end, also one cut in two, and joins data lines with a line feed', () => {
    for (const end of ['\n', '\r\n', '\r']) {
      const text = `event: bundle${end}data: {"bundle_seq":${end}data:125}${end}${end}:${end}${end}`;
      expect(read(text).events, JSON.stringify(end)).toEqual([{ bundle_seq: 125n }]);
      expect(read(...text.split('')).events, JSON.stringify(end)).toEqual([{ bundle_seq: 125n }]);
    }
  });

  it('ignores comments, unknown events, events without data and unknown members', () => {
    expect(read(': heartbeat\n\nevent: diagnostic\ndata: {not-json\n\ndata: {not-json\n\nevent: bundle\n\n').events).toEqual([]);
    expect(read('event: bundle\nid: 5\nretry: 7\ndata: {"bundle_seq":1,"x":true}\n\n').events).toEqual([{ bundle_seq: 1n }]);
  });

  it('ends with an error for a malformed event', () => {
    for (const data of [
      '{"source_id":"a"}',
      '{"bundle_seq":0}',
      '{"bundle_seq":-1}',
      '{"bundle_seq":"1"}',
      '{"bundle_seq":',
      '[]',
      '{"bundle_seq":1,"bundle_seq":2}',
    ]) {
      expect(
        faultOf(() => read(`event: bundle\ndata: ${data}\n\n`)),
        data,
      ).toMatchObject({ code: 'protocol_violation', reason: 'decode' });
    }
    expect(faultOf(() => read(Uint8Array.of(0x3a, 0xff, 0x0a))).reason).toBe('utf8');
  });

  it('takes a line of 1 MiB and refuses one byte more, in one piece or in many, comments included', () => {
    const line = (bytes: number): string => `:${'é'.repeat((bytes - 2) / 2)}x`;
    const most = line(LIMITS.sseLineBytesMax);
    expect(encoder.encode(most).length).toBe(LIMITS.sseLineBytesMax);
    expect(read(`${most}\n\n`, `${most}\r\n`).comments).toHaveLength(2);
    expect(faultOf(() => read(`${most}y\n`)).reason).toBe('line_too_long');
    expect(faultOf(() => read(most, 'y')).reason).toBe('line_too_long');
  });

  it('takes 1 MiB of data in an event and refuses one byte more', () => {
    const half = LIMITS.sseEventBytesMax / 2;
    const first = `data: ${'x'.repeat(half)}\n`;
    const rest = (bytes: number): string => `data:${'x'.repeat(bytes)}\n`;
    expect(read(first, rest(half - 1), '\n', first, rest(half - 1), '\n').events).toEqual([]);
    expect(faultOf(() => read(first, rest(half))).reason).toBe('event_too_long');
    expect(read('event: bundle\n', padded(1000), '\n').events).toHaveLength(1);
  });
});
