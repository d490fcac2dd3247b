import { createParser } from 'eventsource-parser';
import type { EventSourceMessage } from 'eventsource-parser';
import { SyncError } from '../errors/sync-error.ts';
import { JsonSyntaxError } from '../json/json-error.ts';
import { parseJson } from '../json/parse-json.ts';
import type { JsonValue } from '../json/json-value.ts';
import { LIMITS } from '../limits.ts';
import { parseWatchEvent } from '../messages/watch-event.ts';
import type { WatchEvent } from '../messages/watch-event.ts';
import { SseBounds } from './sse-bounds.ts';

/** Where a watch stream delivers to. */
export interface SseReaderCallbacks {
  /** One `bundle` event. */
  readonly onEvent: (event: WatchEvent) => void;
  /** A comment, for example a heartbeat. */
  readonly onComment?: (text: string) => void;
}

/** Reads one watch stream; made anew for each connection. */
export interface SseReader {
  /**
   * Takes the next bytes of the stream, cut anywhere.
   *
   * @throws SyncError `protocol_violation` for a malformed event, bad UTF-8, or a line or event over 1 MiB;
   * `details.reason` is `decode`, `utf8`, `line_too_long` or `event_too_long`. The stream is then to be closed.
   */
  feed(bytes: Uint8Array): void;
}

function refuse(reason: string): SyncError {
  return new SyncError('protocol_violation', { details: { reason } });
}

function parseData(text: string): JsonValue {
  try {
    return parseJson(text, { depthMax: LIMITS.responseJsonDepthMax });
  } catch (error) {
    if (error instanceof JsonSyntaxError) throw refuse('decode');
    throw error;
  }
}

/**
 * A reader for `GET /sync/watch`. Events of unknown names and comments are not looked into; several `data:` lines
 * of one event are joined with a line feed.
 */
export function createSseReader(callbacks: SseReaderCallbacks): SseReader {
  const bounds = new SseBounds();
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const onEvent = ({ event, data }: EventSourceMessage): void => {
    if (event === 'bundle') callbacks.onEvent(parseWatchEvent(parseData(data)));
  };
  const parser = createParser({ onEvent, onComment: callbacks.onComment });
  return {
    feed(bytes) {
      const fault = bounds.check(bytes);
      if (fault !== undefined) throw refuse(fault);
      parser.feed(decode(decoder, bytes));
    },
  };
}

function decode(decoder: TextDecoder, bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes, { stream: true });
  } catch {
    throw refuse('utf8');
  }
}
