import { stringifyJson } from '../json/stringify-json.ts';
import type { WatchEvent } from '../messages/watch-event.ts';

/**
 * One `bundle` event of a watch stream, with the empty line that ends it. Members that are `undefined` are left out.
 *
 * @example
 * formatBundleEvent({ bundle_seq: 157n }) === 'event: bundle\ndata: {"bundle_seq":157}\n\n';
 */
export function formatBundleEvent(event: Partial<WatchEvent> & Pick<WatchEvent, 'bundle_seq'>): string {
  const { bundle_seq, source_id, source_bundle_id } = event;
  return `event: bundle\ndata: ${stringifyJson({ bundle_seq, source_id, source_bundle_id })}\n\n`;
}

/** A comment of an event stream: readers ignore it, intermediaries see traffic. Line breaks become spaces. */
export function formatSseComment(text: string): string {
  return `: ${text.replace(/[\r\n]+/g, ' ')}\n\n`;
}
