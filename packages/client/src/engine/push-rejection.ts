import { SyncError, isJsonObject, parseViolation } from '@oversync/protocol';
import type { Violation } from '@oversync/protocol';

import type { Refusal } from '../http/request-reply.ts';
import { BISECT_REQUESTS_MAX } from '../limits.ts';
import { incomingKeyJson } from '../rules/check-incoming.ts';
import type { Outbox } from '../store/client-state.ts';
import { unfreezeOutbox } from '../store/outbox.ts';
import { loadOutboxKey } from '../store/outbox-key.ts';
import { quarantineDirtyRow } from '../store/quarantine.ts';
import { isRecaptureDue, recaptureIfDue } from '../store/schema-change.ts';
import { withTransaction } from '../store/transaction.ts';
import { noteQuarantined, quarantineBudget } from './engine.ts';
import type { Call } from './engine.ts';
import { stepDriver } from './fault-points.ts';
import { refusalError } from './server-requests.ts';

type Prepared = Extract<Outbox, { readonly state: 'prepared' }>;

/** A row as the quarantine names it. */
interface RejectedRow {
  readonly table: string;
  readonly keyJson: string;
}

/** What one push call remembers about content that the server refused (client.md 6.8). */
export class RejectionPlan {
  /** Tables whose deletes go first from now on. */
  readonly deletesFirst = new Set<string>();
  /** Sizes of the pieces that are still to be pushed, the next one last; empty = no limit. */
  readonly #pieces: number[] = [];
  #failures = 0;

  /** Rows the next bundle may have, while the refused row is being searched for. */
  get pieceRows(): number | null {
    return this.#pieces.at(-1) ?? null;
  }

  /** The bundle was committed. */
  noteCommitted(): void {
    this.#pieces.pop();
  }

  /** A bundle of so many rows was refused without naming a row. True when it is one row: that is the one. */
  splitAfterFailure(rowCount: number): boolean {
    this.#failures += 1;
    this.#pieces.pop();
    if (rowCount <= 1) return true;
    const half = Math.ceil(rowCount / 2);
    this.#pieces.push(rowCount - half, half);
    return false;
  }

  get isExhausted(): boolean {
    return this.#failures >= BISECT_REQUESTS_MAX;
  }
}

/**
 * Puts a refused bundle back into the dirty rows and takes the row at fault out, so that the rest can be pushed: the row the server names,
 * or the row that is found by pushing halves.
 */
export async function settleRejection(call: Call, outbox: Prepared, refusal: Refusal, plan: RejectionPlan): Promise<void> {
  if (await retryInNewShape(call)) return;
  const violation = isJsonObject(refusal.body?.['violation']) ? parseViolation(refusal.body['violation']) : null;
  if (violation !== null && shouldRetryDeletesFirst(call, violation, plan)) {
    plan.deletesFirst.add(violation.table);
    await unfreeze(call, null, null);
    return;
  }
  const named = violation === null ? null : namedRow(call, violation);
  if (violation !== null && named !== null) {
    await unfreeze(call, named, {
      code: violation.kind,
      detail: violation.column ?? violation.constraint ?? violation.category ?? null,
    });
    return;
  }
  const only = outbox.rowCount === 1 ? await loadOutboxKey(call.engine.driver, 0) : null;
  const isSingle = plan.splitAfterFailure(outbox.rowCount);
  if (isSingle && only !== null) await unfreeze(call, only, { code: rejectionCode(refusal), detail: null });
  else await unfreeze(call, null, null);
  if (plan.isExhausted) throw refusalError(refusal);
}

/** Rows that were frozen by an older version of the application deserve a try in the columns of this one. */
function retryInNewShape(call: Call): Promise<boolean> {
  return withTransaction(call.engine.driver, call.operation, async (tx) => {
    if (!(await isRecaptureDue(tx))) return false;
    await unfreezeOutbox(tx);
    return recaptureIfDue(tx, call.schema);
  });
}

function rejectionCode(refusal: Refusal): string {
  const isLimit = refusal.status === 413 || isJsonObject(refusal.body?.['limit_exceeded']);
  return isLimit ? 'row_too_large' : 'server_rejected';
}

/** A key that one row gives up and another takes in the same push is free only after the delete. */
function shouldRetryDeletesFirst(call: Call, violation: Violation, plan: RejectionPlan): boolean {
  return violation.kind === 'unique' && call.schema.tablesByName.has(violation.table) && !plan.deletesFirst.has(violation.table);
}

function namedRow(call: Call, violation: Violation): RejectedRow | null {
  const table = call.schema.tablesByName.get(violation.table);
  const [key] = Object.entries(violation.key ?? {});
  if (table === undefined || key === undefined || key[0] !== table.key.wireName) return null;
  return { table: table.wireName, keyJson: incomingKeyJson(table, key[0], key[1]) };
}

async function unfreeze(
  call: Call,
  row: RejectedRow | null,
  why: { readonly code: string; readonly detail: string | null } | null,
): Promise<void> {
  if (row !== null && quarantineBudget(call) === 0) {
    await withTransaction(stepDriver(call.engine, 'rejection'), call.operation, unfreezeOutbox);
    throw new SyncError('quarantine_limit_reached', { details: { count: call.quarantined.length } });
  }
  const ref = await withTransaction(stepDriver(call.engine, 'rejection'), call.operation, async (tx) => {
    await unfreezeOutbox(tx);
    return row === null || why === null ? null : quarantineDirtyRow(tx, call.schema, { ...row, origin: 'push', ...why });
  });
  noteQuarantined(call, ref === null ? [] : [ref]);
}
