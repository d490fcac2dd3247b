import type { ApplyGroup, ApplyStatement, StagedPush } from '../rules/push-apply-sql.ts';
import type { Catalog } from '../rules/table-description.ts';
import { applyTableSetting } from '../store/capture.sql.ts';
import type { ScriptStatement } from '../store/run-statements.ts';

/** Staged rows that are ready to be applied. */
export interface ApplyInput {
  readonly staged: StagedPush;
  readonly groups: readonly ApplyGroup[];
  readonly catalog: Catalog;
  readonly captureToken: string;
}

/** The setting tells capture which statements are the push's own: their keys are known without it. */
export function formatApplyStatement({ table, sql }: ApplyStatement, rowOrdinalMax?: number): readonly ScriptStatement[] {
  return [applyTableSetting(table.tableId), sql(rowOrdinalMax)];
}
