import { SyncError, isTextKey, isUuidKey, parseVerifyReply } from '@oversync/protocol';
import type { VerifyReply } from '@oversync/protocol';

import type { Refusal } from '../http/request-reply.ts';
import { readJsonBody } from '../http/request-reply.ts';
import { verifyRequest } from '../http/requests.ts';
import {
  VERIFY_BODY_BYTES_MAX,
  VERIFY_EXCLUDED_KEYS_MAX,
  VERIFY_FIRST_PARTS,
  VERIFY_NEXT_PARTS,
  VERIFY_RANGES_MAX,
  VERIFY_RANGE_ATTEMPTS_MAX,
  VERIFY_RANGE_ROWS_MAX,
} from '../limits.ts';
import type { LocalTable } from '../rules/local-schema.ts';
import type { ServerCapabilities } from '../rules/negotiation.ts';
import { wireKeyOf } from '../rules/wire-key.ts';
import { RangeHasher, countOrphanStates, loadUnsentKeys } from '../store/verify.ts';
import type { KeyRange } from '../store/verify.ts';
import type { Call } from './engine.ts';
import { askServer, refusalError } from './server-requests.ts';

/** A range of keys, in the order of their bytes, in which this device and the server differ. */
export interface RangeDifference {
  /** The range begins after this key; absent at the first key. */
  readonly after?: string;
  /** The last key of the range; absent at the last key. */
  readonly through?: string;
  readonly localRowCount: number;
  readonly serverRowCount: number;
}

/** What the comparison of one table has found. */
export interface TableVerification {
  readonly table: string;
  /** Rows of the server that were compared. */
  readonly rowCount: number;
  /** Rows with unsent changes, which were left out on both sides. */
  readonly unsentRowCount: number;
  readonly differences: readonly RangeDifference[];
  /** Notes of this client about rows that exist neither here nor on the server. */
  readonly orphanStateCount: number;
}

/** Where a verification runs: everything in it is about this sequence. */
export interface VerifyRun {
  readonly call: Call;
  readonly capabilities: ServerCapabilities;
  readonly sourceId: string;
  readonly bundleSeq: bigint;
}

interface OpenRange {
  readonly range: KeyRange;
  /** Times it was compared while the application wrote into it. */
  readonly attempts: number;
}

type Part = VerifyReply['ranges'][number]['parts'][number];

/** Compares one table with the server, range by range: what differs is cut into smaller ranges until few rows are left. */
export async function verifyTable(run: VerifyRun, table: LocalTable): Promise<TableVerification> {
  const comparison = new TableComparison(run, table);
  return comparison.run();
}

class TableComparison {
  readonly #run: VerifyRun;
  readonly #table: LocalTable;
  readonly #hasher: RangeHasher;
  readonly #differences: RangeDifference[] = [];
  #open: OpenRange[] = [{ range: {}, attempts: 0 }];
  #rowCount = 0;
  #unsentRowCount = 0;

  constructor(run: VerifyRun, table: LocalTable) {
    this.#run = run;
    this.#table = table;
    const { options } = run.call.engine;
    this.#hasher = new RangeHasher(run.call.schema, table, options.ports.sha256, options.applyBatchRows);
  }

  async run(): Promise<TableVerification> {
    for (let isFirst = true; this.#open.length > 0; isFirst = false) {
      const ranges = this.#open.slice(0, VERIFY_RANGES_MAX);
      this.#open = this.#open.slice(VERIFY_RANGES_MAX);
      await this.#compare(ranges, isFirst);
    }
    const { driver } = this.#run.call.engine;
    const orphanStateCount = await countOrphanStates(driver, this.#run.call.schema, this.#table);
    return {
      table: this.#table.wireName,
      rowCount: this.#rowCount,
      unsentRowCount: this.#unsentRowCount,
      differences: this.#differences,
      orphanStateCount,
    };
  }

  async #compare(ranges: readonly OpenRange[], isFirst: boolean): Promise<void> {
    const unsent = await this.#loadUnsent();
    const reply = await this.#fetch(ranges, unsent, isFirst ? VERIFY_FIRST_PARTS : VERIFY_NEXT_PARTS);
    if (isFirst) {
      this.#unsentRowCount = unsent.size;
      this.#rowCount = reply.ranges.flatMap(({ parts }) => parts).reduce((sum, part) => sum + part.row_count, 0);
    }
    for (const [index, open] of ranges.entries()) {
      let { after } = open.range;
      for (const part of reply.ranges[index]?.parts ?? []) {
        const range: KeyRange = {
          ...(after === undefined ? {} : { after }),
          ...(part.through === undefined ? {} : { through: part.through }),
        };
        await this.#comparePart(range, part, unsent, open.attempts);
        after = part.through;
      }
    }
  }

  async #comparePart(range: KeyRange, part: Part, sent: ReadonlySet<string>, attempts: number): Promise<void> {
    if (this.#run.call.signal.aborted) throw new SyncError('aborted');
    const local = await this.#hasher.hash(this.#run.call.engine.driver, range, VERIFY_EXCLUDED_KEYS_MAX + 1);
    if (local.hash === part.hash && local.rowCount === part.row_count) return;
    const isSmall = part.row_count <= VERIFY_RANGE_ROWS_MAX;
    const wasWritten = [...local.unsent].some((key) => !sent.has(key));
    if (isSmall && (!wasWritten || attempts >= VERIFY_RANGE_ATTEMPTS_MAX)) {
      this.#differences.push({ ...range, localRowCount: local.rowCount, serverRowCount: part.row_count });
    } else this.#open.push({ range, attempts: isSmall ? attempts + 1 : 0 });
  }

  async #loadUnsent(): Promise<Set<string>> {
    const { call } = this.#run;
    const unsent = await loadUnsentKeys(call.engine.driver, call.schema, this.#table, VERIFY_EXCLUDED_KEYS_MAX + 1);
    if (unsent.size <= VERIFY_EXCLUDED_KEYS_MAX) return unsent;
    throw new SyncError('dirty_state_rejected', { details: { dirtyCount: unsent.size } });
  }

  async #fetch(ranges: readonly OpenRange[], unsent: ReadonlySet<string>, parts: number): Promise<VerifyReply> {
    const { call, capabilities, sourceId, bundleSeq } = this.#run;
    const request = verifyRequest({
      bundleSeq,
      schema: call.schema.name,
      table: this.#table.wireName,
      columns: this.#table.columns.map((column) => column.wireName),
      parts,
      ranges: ranges.map(({ range }) => range),
      excludedKeys: [...unsent].map((key) => wireKeyOf(this.#table, key)).filter((key) => this.#isWireKey(key)),
    });
    const reply = await askServer(call, request, { sourceId, capabilities, bytesMax: VERIFY_BODY_BYTES_MAX }, readJsonBody);
    if (reply.kind === 'refused') throw verifyError(reply.refusal);
    const value = parseVerifyReply(reply.value);
    if (value.bundle_seq !== bundleSeq) throw new SyncError('protocol_violation', { details: { reason: 'identity' } });
    if (value.ranges.length !== ranges.length) throw new SyncError('protocol_violation', { details: { reason: 'count' } });
    return value;
  }

  /** A key that has no wire form cannot be on the server. */
  #isWireKey(key: string): boolean {
    return this.#table.key.kind === 'uuidBlob' ? isUuidKey(key) : isTextKey(key);
  }
}

/** The error of a refused verification; `verify_out_of_date` means that the server has committed meanwhile. */
export function verifyError(refusal: Refusal): SyncError {
  if (refusal.status === 409 && refusal.serverCode === 'verify_out_of_date') return new SyncError('verify_out_of_date');
  return refusalError(refusal);
}
