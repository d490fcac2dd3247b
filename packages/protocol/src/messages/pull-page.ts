import * as v from 'valibot';
import { SyncError } from '../errors/sync-error.ts';
import type { JsonValue } from '../json/json-value.ts';
import { checkBundleRow } from './rows.ts';
import type { BundleRow } from './rows.ts';
import {
  absent,
  CounterSchema,
  JsonListSchema,
  parseMessage,
  PositiveInt64Schema,
  RowCountSchema,
  SourceIdSchema,
} from './schemas.ts';

const BundleSchema = v.object({
  bundle_seq: PositiveInt64Schema,
  source_id: SourceIdSchema,
  source_bundle_id: PositiveInt64Schema,
  row_count: absent(RowCountSchema),
  bundle_hash: absent(v.string()),
  canonical_request_hash: absent(v.string()),
  rows: JsonListSchema,
});

/** Reply of `GET /sync/pull`, rows unseen. */
export const PullPageSchema = v.object({
  /** The ceiling of the whole loop. */
  stable_bundle_seq: CounterSchema,
  bundles: v.array(BundleSchema),
  has_more: v.boolean(),
});

/** One bundle of a pull page; the last three header members are informative. */
export type PulledBundle = Omit<v.InferOutput<typeof BundleSchema>, 'rows'> & { readonly rows: readonly BundleRow[] };

/** Whole bundles in ascending order, up to the ceiling. */
export interface PullPage {
  readonly stable_bundle_seq: bigint;
  readonly bundles: readonly PulledBundle[];
  readonly has_more: boolean;
}

/**
 * Reads a page and checks what it can know of itself; the loop checks ceiling and checkpoint.
 *
 * @throws SyncError `protocol_violation`; `details.reason` is `sequence_order` when bundles do not ascend or pass
 * the ceiling, `row_shape` or `hidden_column` for a row, else `decode`
 */
export function parsePullPage(json: JsonValue): PullPage {
  const page = parseMessage(PullPageSchema, json, 'protocol_violation');
  checkOrder(page.bundles, page.stable_bundle_seq);
  return { ...page, bundles: page.bundles.map((bundle) => ({ ...bundle, rows: bundle.rows.map(checkBundleRow) })) };
}

function checkOrder(bundles: readonly { readonly bundle_seq: bigint }[], stable: bigint): void {
  let previous = 0n;
  for (const { bundle_seq: bundleSeq } of bundles) {
    if (bundleSeq <= previous || bundleSeq > stable) {
      throw new SyncError('protocol_violation', { details: { reason: 'sequence_order' } });
    }
    previous = bundleSeq;
  }
}
