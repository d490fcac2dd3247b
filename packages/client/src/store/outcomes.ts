import type { SqliteTx, SqlValue } from '../ports/sqlite-driver.ts';
import type { RowOp } from '../rules/conflict-types.ts';
import { keyJsonOf } from '../rules/check-incoming.ts';
import type { LocalSchema } from '../rules/local-schema.ts';
import { wireKeyOf } from '../rules/wire-key.ts';
import { bigintColumn, optionalTextColumn, textColumn } from './columns.ts';
import { insertRows } from './insert-rows.ts';
import { rowOp } from './outbox.ts';
import { RECORD_MATCHED } from './replay.sql.ts';

export type OutcomeName = 'accepted' | 'server_won' | 'merged' | 'kept_local' | 'rejected' | 'discarded';

/** What became of one local write. */
export interface Outcome {
  readonly seq: bigint;
  readonly table: string;
  /** Wire form. */
  readonly key: string;
  readonly op: RowOp;
  readonly outcome: OutcomeName;
  readonly code: string | null;
  readonly bundleSeq: bigint | null;
  readonly rowVersion: bigint | null;
  /** ISO 8601, UTC. */
  readonly at: string;
}

/** Records what the replay decided about each uploaded row; runs while the page still holds its verdicts. 0 switches outcomes off. */
export async function recordReplayOutcomes(tx: SqliteTx, schema: LocalSchema, bundleSeq: bigint, limit: number): Promise<void> {
  if (limit === 0) return;
  await tx.run(RECORD_REPLAY, [schema.name, bundleSeq, BigInt(limit)]);
  await trim(tx, limit);
}

/** The same for rows that were left alone; `params` are those of the statement but for the limit. */
export async function recordMatchedOutcomes(tx: SqliteTx, params: readonly SqlValue[], limit: number): Promise<void> {
  if (limit > 0) await tx.run(RECORD_MATCHED, [...params, BigInt(limit)]);
}

export interface NewOutcome {
  readonly table: string;
  readonly keyJson: string;
  readonly op: RowOp;
  readonly outcome: OutcomeName;
  readonly code: string | null;
  readonly rowVersion: bigint | null;
}

/** Records decisions made row by row. */
export async function recordOutcomes(
  tx: SqliteTx,
  schema: LocalSchema,
  outcomes: readonly NewOutcome[],
  limit: number,
): Promise<void> {
  if (limit === 0 || outcomes.length === 0) return;
  const rows = outcomes.map((row) => [schema.name, row.table, row.keyJson, row.op, row.outcome, row.code, row.rowVersion]);
  await insertRows(tx, INSERT_OUTCOME, 7, rows);
  await trim(tx, limit);
}

/** Outcomes after a sequence number, oldest first. */
export async function listOutcomes(
  tx: SqliteTx,
  schema: LocalSchema,
  page: { readonly table?: string; readonly key?: string; readonly after?: bigint; readonly limit: number },
): Promise<Outcome[]> {
  const { table = null, key, after = 0n, limit } = page;
  const keys = key === undefined ? null : JSON.stringify(schema.tables.map((candidate) => keyJsonOf(candidate, key)));
  const rows = await tx.all(LIST_OUTCOMES, [after, table, table, keys, keys, BigInt(limit)]);
  return rows.map((row): Outcome => {
    const tableName = textColumn(row, 1);
    return {
      seq: bigintColumn(row, 0),
      table: tableName,
      key: wireKeyOf(schema.tablesByName.get(tableName), textColumn(row, 2)),
      op: rowOp(textColumn(row, 3)),
      outcome: outcomeName(textColumn(row, 4)),
      code: optionalTextColumn(row, 5),
      bundleSeq: row[6] === null ? null : bigintColumn(row, 6),
      rowVersion: row[7] === null ? null : bigintColumn(row, 7),
      at: textColumn(row, 8),
    };
  });
}

function outcomeName(text: string): OutcomeName {
  const found = OUTCOME_NAMES.find((name) => name === text);
  if (found === undefined) throw new TypeError('the outcome is not known');
  return found;
}

const OUTCOME_NAMES: readonly OutcomeName[] = ['accepted', 'server_won', 'merged', 'kept_local', 'rejected', 'discarded'];

async function trim(tx: SqliteTx, limit: number): Promise<void> {
  await tx.run('DELETE FROM _oversync_outcomes WHERE seq <= (SELECT MAX(seq) FROM _oversync_outcomes) - ?', [BigInt(limit)]);
}

/** Schema, sequence, limit. */
const RECORD_REPLAY = `
INSERT INTO _oversync_outcomes(schema_name, table_name, key_json, op, outcome, bundle_seq, row_version)
SELECT ?, p.table_name, p.key_json, o.op, CASE p.verdict WHEN 3 THEN 'kept_local' ELSE 'accepted' END, ?, p.row_version
FROM _oversync_work._oversync_page p JOIN _sync_outbox_rows o
ON o.source_bundle_id = (SELECT source_bundle_id FROM _sync_outbox_bundle) AND o.row_ordinal = p.uploaded_ordinal
ORDER BY p.uploaded_ordinal DESC LIMIT ?`;

const INSERT_OUTCOME = 'INSERT INTO _oversync_outcomes(schema_name, table_name, key_json, op, outcome, code, row_version)';

/** Sequence (exclusive), table or NULL twice, JSON array of keys or NULL twice, rows. */
const LIST_OUTCOMES = `
SELECT CAST(seq AS TEXT), table_name, key_json, op, outcome, code, CAST(bundle_seq AS TEXT), CAST(row_version AS TEXT), at
FROM _oversync_outcomes WHERE seq > ? AND (? IS NULL OR table_name = ?)
  AND (? IS NULL OR key_json IN (SELECT value FROM json_each(?))) ORDER BY seq LIMIT ?`;
