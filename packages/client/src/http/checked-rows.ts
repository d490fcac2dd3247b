import { isTextKey, isUuidKey } from '@oversync/protocol';

import { checkIncomingRow } from '../rules/check-incoming.ts';
import { hexFromUuid } from '../rules/hex.ts';
import type { CheckedRow, ColumnText } from '../rules/incoming-row.ts';
import type { LocalColumn, LocalSchema, LocalTable } from '../rules/local-schema.ts';
import { hasColumnTexts } from '../rules/column-text-sql.ts';
import { RowPattern } from './row-pattern.ts';
import { RowTextReader } from './row-text.ts';
import type { RowTemplate } from './row-text.ts';
import { columnValueEnd, ScannedText } from './value-scan.ts';
import { hasNoControls } from './wire-row.ts';

/** Spellings kept: a body has one per table and operation. */
const PLANS_MAX = 16;

const COMMA = 0x2c;
const BRACE_CLOSE = 0x7d;
const DIGIT_0 = 0x30;
const DIGIT_9 = 0x39;
/** Digits of a version that fits 64 bits whatever they are. */
const VERSION_DIGITS_MAX = 15;

type TakeRow = (row: CheckedRow, start: number, end: number) => void;

/** How rows of one table and operation are spelled, as learned from one that was read exactly. */
interface RowPlan extends RowTemplate {
  readonly table: LocalTable;
  /** What `key_json` begins with. The head ends with the same text. */
  readonly keyPrefix: string;
  /** `null` where members have to be read one by one. */
  readonly pattern: RowPattern | null;
  /** See `CheckedRow.values`. */
  readonly hasValues: boolean;
  readonly members: readonly { readonly label: string; readonly column: LocalColumn | null }[];
}

/**
 * Reads and checks the rows of one body. Nearly all rows look like one before, but for their values: those are read where they stand in
 * the body, each character once. Any other row is read and checked exactly, which also tells what is wrong with it. Both ways give the
 * same rows.
 */
export class CheckedRowReader {
  readonly #schema: LocalSchema;
  readonly #isSnapshot: boolean;
  readonly #exact = new RowTextReader();
  #template: RowTemplate | null = null;
  #plans: RowPlan[] = [];
  #scanned = new ScannedText('');
  #isClean = true;
  #position = 0;
  #versionText = '1';
  #version = 1n;

  constructor(schema: LocalSchema, kind: 'snapshot' | 'bundle') {
    this.#schema = schema;
    this.#isSnapshot = kind === 'snapshot';
  }

  /** The row of this text. Throws what is wrong with it. */
  read(text: string): CheckedRow {
    const row = this.#isSnapshot ? this.#exact.snapshotRow(text) : this.#exact.bundleRow(text);
    const checked = checkIncomingRow(this.#schema, row);
    if (this.#exact.template !== this.#template) this.#learn(this.#exact.template);
    return checked;
  }

  /** The row that starts at `start`, if it looks like one before and all of it is there; `take` gets it. Index after it, else −1. */
  scan(text: string, start: number, take: TakeRow): number {
    for (let index = 0; index < this.#plans.length; index += 1) {
      const plan = this.#plans[index];
      if (plan === undefined || !text.startsWith(plan.head, start)) continue;
      const end =
        plan.pattern === null ? this.#scanMembers(plan, start, text, take) : this.#match(plan, plan.pattern, start, text, take);
      if (end < 0) continue;
      if (index > 0) this.#plans = [plan, ...this.#plans.filter((other) => other !== plan)];
      return end;
    }
    return -1;
  }

  #match(plan: RowPlan, pattern: RowPattern, start: number, text: string, take: TakeRow): number {
    const row = pattern.match(text, start);
    if (row === null) return -1;
    const keyStart = start + plan.head.length;
    const keyEnd = keyStart + row.key.length + 2;
    const keyJson = keyJsonAt(plan, text, keyStart, keyEnd);
    if (keyJson === null) return -1;
    const payloadStart = keyEnd + plan.middle.length + row.version.length + plan.tail.length;
    this.#setVersion(row.version);
    const payload = text.slice(payloadStart, row.end - 1);
    take(this.#row(plan, keyJson, payload, plan.hasValues ? row.values : undefined), start, row.end);
    return row.end;
  }

  #row(plan: RowPlan, keyJson: string, payload: string, values?: readonly ColumnText[]): CheckedRow {
    const { op } = plan.row;
    return { schema: this.#schema.name, table: plan.table.wireName, keyJson, op, rowVersion: this.#version, payload, values };
  }

  /** Rows of one body often share it. */
  #setVersion(text: string): void {
    if (text === this.#versionText) return;
    this.#versionText = text;
    this.#version = BigInt(text);
  }

  #scanMembers(plan: RowPlan, start: number, text: string, take: TakeRow): number {
    this.#enter(text, start);
    const end = this.#isClean ? this.#scanPlan(plan, start, take) : -1;
    if (end < 0) this.#scanned.rewind(start);
    return end;
  }

  #enter(text: string, start: number): void {
    if (text !== this.#scanned.text) {
      this.#isClean = hasNoControls(text);
      this.#scanned = new ScannedText(text);
    } else if (start < this.#position) this.#scanned.rewind(start);
    this.#position = start;
  }

  #scanPlan(plan: RowPlan, start: number, take: TakeRow): number {
    const { text } = this.#scanned;
    const keyStart = start + plan.head.length;
    const keyEnd = this.#scanned.stringEnd(keyStart);
    if (keyEnd < 0 || this.#scanned.hasEscape(keyStart, keyEnd) || !text.startsWith(plan.middle, keyEnd)) return -1;
    const versionEnd = this.#scanVersion(keyEnd + plan.middle.length);
    if (versionEnd < 0 || !text.startsWith(plan.tail, versionEnd)) return -1;
    const payloadStart = versionEnd + plan.tail.length;
    const payloadEnd = this.#scanPayload(plan, payloadStart, text.slice(keyStart, keyEnd));
    if (payloadEnd < 0 || text.charCodeAt(payloadEnd) !== BRACE_CLOSE) return -1;
    const keyJson = keyJsonAt(plan, text, keyStart, keyEnd);
    if (keyJson === null) return -1;
    take(this.#row(plan, keyJson, text.slice(payloadStart, payloadEnd)), start, payloadEnd + 1);
    return payloadEnd + 1;
  }

  /** Index after the version, −1 for one that is long or not an integer above 0. */
  #scanVersion(start: number): number {
    const { text } = this.#scanned;
    let end = start;
    while (text.charCodeAt(end) >= DIGIT_0 && text.charCodeAt(end) <= DIGIT_9) end += 1;
    if (end === start || end - start > VERSION_DIGITS_MAX || text.charCodeAt(start) === DIGIT_0) return -1;
    if (text.charCodeAt(end) !== COMMA) return -1;
    this.#setVersion(text.slice(start, end));
    return end;
  }

  #scanPayload(plan: RowPlan, start: number, keyText: string): number {
    const { text } = this.#scanned;
    let at = start;
    for (const { label, column } of plan.members) {
      if (!text.startsWith(label, at)) return -1;
      at += label.length;
      if (column === plan.table.key) at = text.startsWith(keyText, at) ? at + keyText.length : -1;
      else at = columnValueEnd(this.#scanned, at, column);
      if (at < 0) return -1;
    }
    return text.charCodeAt(at) === BRACE_CLOSE ? at + 1 : -1;
  }

  #learn(template: RowTemplate | null): void {
    this.#template = template;
    const plan = template === null ? null : planOf(this.#schema, template);
    if (plan === null) return;
    const others = this.#plans.filter((other) => other.head !== plan.head || other.middle !== plan.middle);
    this.#plans = [plan, ...others].slice(0, PLANS_MAX);
  }
}

function planOf(schema: LocalSchema, template: RowTemplate): RowPlan | null {
  const table = schema.tablesByName.get(template.row.table);
  const keyPrefix = `{${JSON.stringify(template.row.keyColumn)}:`;
  if (table === undefined || !template.head.endsWith(keyPrefix) || !template.middle.startsWith('}')) return null;
  const columns = new Map(table.columns.map((column) => [column.wireName, column]));
  const members = template.names.map((name, index) => ({
    label: `${index === 0 ? '{' : ','}${JSON.stringify(name)}:`,
    column: columns.get(name) ?? null,
  }));
  const pattern = RowPattern.of(table, template);
  return { ...template, table, keyPrefix, pattern, members, hasValues: hasColumnTexts(table) };
}

/** `key_json` of the key that stands between the positions, quotes included: the text of the body where capture writes the same. */
function keyJsonAt(plan: RowPlan, text: string, start: number, end: number): string | null {
  const inner = text.slice(start + 1, end - 1);
  if (plan.table.key.kind === 'uuidBlob') return isUuidKey(inner) ? `${plan.keyPrefix}"${hexFromUuid(inner)}"}` : null;
  const first = inner.charCodeAt(0);
  if (!(first > 0x20 && first < 0x7f) && !isTextKey(inner)) return null;
  return text.slice(start - plan.keyPrefix.length, end + 1);
}
