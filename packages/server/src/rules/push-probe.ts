import { isJsonObject, parseJson } from '@oversync/protocol';

import { createMemberPlan } from './push-member-plan.ts';
import { formatRowLiteral, readPayload } from './push-payload.ts';
import type { PushRow } from './push-row.ts';
import { getTableCodec } from './push-table-codec.ts';

/** A row literal in which only one column is set. */
export interface ColumnProbe {
  readonly column: string;
  readonly literal: string;
}

/** Our own canonical text was checked when it was made; only nested json can be deep. */
const DEPTH_MAX = 1000;

/**
 * One literal per column of a row that PostgreSQL could not convert: the first that fails names the column. None for tables with
 * columns that a literal cannot leave out.
 */
export function createColumnProbes(row: PushRow, scopeId: string): readonly ColumnProbe[] {
  const codec = getTableCodec(row.table);
  const request = parseJson(row.canonicalText, { depthMax: DEPTH_MAX });
  const payload = isJsonObject(request) ? request['payload'] : undefined;
  if (!isJsonObject(payload) || codec.table.literalColumns.length > 0) return [];
  return Object.keys(payload).flatMap((column) => {
    const plan = createMemberPlan(codec, [column]);
    const texts = readPayload(plan, payload, row.keyText);
    if ('kind' in texts || texts[0] === undefined) return [];
    return [{ column, literal: formatRowLiteral(plan, { texts, scopeId, keyText: row.keyText }) }];
  });
}
