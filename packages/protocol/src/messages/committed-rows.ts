import * as v from 'valibot';
import type { JsonValue } from '../json/json-value.ts';
import { committedBundleEntries } from './commit.ts';
import { checkBundleRow } from './rows.ts';
import type { BundleRow } from './rows.ts';
import { Int64Schema, JsonListSchema, parseMessage } from './schemas.ts';

/** Reply of `GET /sync/committed-bundles/{bundle_seq}/rows`, rows unseen. */
export const CommittedRowsPageSchema = v.object({
  ...committedBundleEntries,
  rows: JsonListSchema,
  /** Ordinal of the last row of the page; an empty page repeats the ordinal it was asked for. */
  next_row_ordinal: v.pipe(Int64Schema, v.minValue(-1n), v.maxValue(BigInt(Number.MAX_SAFE_INTEGER)), v.transform(Number)),
  has_more: v.boolean(),
});

/** One page of the rows of a committed bundle. */
export type CommittedRowsPage = Omit<v.InferOutput<typeof CommittedRowsPageSchema>, 'rows'> & {
  readonly rows: readonly BundleRow[];
};

/** @throws SyncError `protocol_violation`, also when a page without rows announces more */
export function parseCommittedRowsPage(json: JsonValue): CommittedRowsPage {
  const page = parseMessage(
    v.pipe(
      CommittedRowsPageSchema,
      v.check(({ rows, has_more: hasMore }) => !hasMore || rows.length > 0),
    ),
    json,
    'protocol_violation',
  );
  return { ...page, rows: page.rows.map(checkBundleRow) };
}
