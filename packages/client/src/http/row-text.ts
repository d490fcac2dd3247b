import { SCOPE_COLUMN, SyncError } from '@oversync/protocol';

import type { IncomingRow } from '../rules/incoming-row.ts';
import { malformedBody, stringEnd } from './json-cursor.ts';
import { PayloadShape } from './payload-shape.ts';
import { checkRowText, scanMembers } from './wire-row.ts';
import type { MemberSpan } from './wire-row.ts';

const INT64_MAX = 9223372036854775807n;
const INTEGER = /^-?(?:0|[1-9][0-9]{0,18})$/;
const SMALL_VERSION = /^[1-9][0-9]{0,14}$/;

/** A row as it was received, with what the bundle hash needs to know about its spelling. */
export interface ReceivedRow extends IncomingRow {
  /** The payload text is canonical JSON already. */
  readonly isCanonical: boolean;
}

/** An answer that is JSON but not what the contract says. */
export function violation(reason: string): SyncError {
  return new SyncError('protocol_violation', { details: { reason } });
}

/** A 64-bit counter from its JSON text, or `null` when it is anything else. */
export function int64FromText(text: string): bigint | null {
  if (!INTEGER.test(text)) return null;
  const value = BigInt(text);
  return value > INT64_MAX || value < -INT64_MAX - 1n ? null : value;
}

/** The parts of a row text that were the same in the row before: everything but key, version and payload. */
export interface RowTemplate {
  readonly row: Pick<IncomingRow, 'schema' | 'table' | 'keyColumn' | 'op'>;
  /** Text before the key's value. */
  readonly head: string;
  /** Text between the key's value and the version. */
  readonly middle: string;
  /** Text between the version and the payload. */
  readonly tail: string;
  /** Members of the payload in order. */
  readonly names: readonly string[];
}

/**
 * Reads the rows of one body. Rows of one body look alike, so the spelling around the values is compared with the row before; a row that
 * looks different is analysed member by member. Both ways check the same things.
 */
export class RowTextReader {
  #template: RowTemplate | null = null;
  #shape = new PayloadShape([]);

  /** How the row read last was spelled, if that was the usual way. */
  get template(): RowTemplate | null {
    return this.#template;
  }

  /** A row of a pull page or of a committed-rows page (protocol.md 8.7). Members that are not known are ignored. */
  bundleRow(text: string): ReceivedRow {
    checkRowText(text);
    return this.#fromTemplate(text) ?? this.#analysed(text, false);
  }

  /** A row of a snapshot chunk (protocol.md 8.11): exactly five members. */
  snapshotRow(text: string): ReceivedRow {
    checkRowText(text);
    return this.#fromTemplate(text) ?? this.#analysed(text, true);
  }

  #fromTemplate(text: string): ReceivedRow | null {
    const template = this.#template;
    if (template === null || !text.startsWith(template.head)) return null;
    const keyStart = template.head.length;
    if (text.charCodeAt(keyStart) !== 0x22) return null;
    const keyEnd = stringEnd(text, keyStart);
    if (keyEnd < 0 || !text.startsWith(template.middle, keyEnd)) return null;
    const versionStart = keyEnd + template.middle.length;
    const versionEnd = text.indexOf(',', versionStart);
    const version = text.slice(versionStart, versionEnd);
    if (!SMALL_VERSION.test(version) || !text.startsWith(template.tail, versionEnd)) return null;
    const payloadStart = versionEnd + template.tail.length;
    const keyText = text.slice(keyStart + 1, keyEnd - 1);
    if (keyText.includes('\\') || text.charCodeAt(text.length - 1) !== 0x7d) return null;
    const check = this.#shape.check(text, payloadStart, text.length - 1);
    if (check === null) return null;
    const payload = text.slice(payloadStart, text.length - 1);
    return { ...template.row, keyValue: keyText, rowVersion: BigInt(version), payload, isCanonical: check.isCanonical };
  }

  #analysed(text: string, isSnapshot: boolean): ReceivedRow {
    const { members, end } = scanMembers(text, 0);
    if (end !== text.length) throw malformedBody();
    checkDistinct(members);
    if (isSnapshot && members.length !== 5) throw violation('row_shape');
    const op = isSnapshot ? 'INSERT' : rowOp(text, members);
    const version = required(members, 'row_version');
    const rowVersion = int64FromText(text.slice(version.valueStart, version.valueEnd));
    if (rowVersion === null || rowVersion <= 0n) throw violation('row_shape');
    const key = onlyMember(text, required(members, 'key'));
    const row = {
      schema: stringMember(text, members, 'schema'),
      table: stringMember(text, members, 'table'),
      keyColumn: key.name,
      op,
    };
    const payload = this.#payload(text, members, op === 'DELETE');
    this.#remember(text, row, key, version, members);
    return { ...row, keyValue: stringValue(text, key), rowVersion, payload, isCanonical: false };
  }

  #payload(text: string, members: readonly MemberSpan[], isDelete: boolean): string | null {
    const span = member(members, 'payload');
    if (isDelete) {
      if (span !== undefined && text.slice(span.valueStart, span.valueEnd) !== 'null') throw violation('row_shape');
      return null;
    }
    if (span === undefined || text.charCodeAt(span.valueStart) !== 0x7b) throw violation('row_shape');
    const columns = scanMembers(text, span.valueStart).members;
    checkDistinct(columns);
    if (member(columns, SCOPE_COLUMN) !== undefined) throw violation('hidden_column');
    this.#shape = PayloadShape.of(text, columns);
    return text.slice(span.valueStart, span.valueEnd);
  }

  /** Only the usual order (key before version before payload, nothing after it) makes a template. */
  #remember(text: string, row: RowTemplate['row'], key: MemberSpan, version: MemberSpan, members: readonly MemberSpan[]): void {
    const payload = members.at(-1);
    const isUsual = payload?.name === 'payload' && key.valueEnd < version.valueStart && version.valueEnd < payload.valueStart;
    if (!isUsual || payload.valueEnd !== text.length - 1 || row.op === 'DELETE') return;
    this.#template = {
      row,
      head: text.slice(0, key.valueStart),
      middle: text.slice(key.valueEnd, version.valueStart),
      tail: text.slice(version.valueEnd, payload.valueStart),
      names: this.#shape.names,
    };
  }
}

function rowOp(text: string, members: readonly MemberSpan[]): IncomingRow['op'] {
  const op = stringMember(text, members, 'op');
  if (op !== 'INSERT' && op !== 'UPDATE' && op !== 'DELETE') throw violation('row_shape');
  return op;
}

function checkDistinct(members: readonly MemberSpan[]): void {
  if (new Set(members.map((span) => span.name)).size !== members.length) throw malformedBody();
}

function member(spans: readonly MemberSpan[], name: string): MemberSpan | undefined {
  return spans.find((span) => span.name === name);
}

function required(spans: readonly MemberSpan[], name: string): MemberSpan {
  const span = member(spans, name);
  if (span === undefined) throw violation('row_shape');
  return span;
}

function onlyMember(text: string, span: MemberSpan): MemberSpan {
  if (text.charCodeAt(span.valueStart) !== 0x7b) throw violation('row_shape');
  const { members } = scanMembers(text, span.valueStart);
  const [only] = members;
  if (only === undefined || members.length !== 1) throw violation('row_shape');
  return only;
}

function stringMember(text: string, spans: readonly MemberSpan[], name: string): string {
  return stringValue(text, required(spans, name));
}

function stringValue(text: string, span: MemberSpan): string {
  if (text.charCodeAt(span.valueStart) !== 0x22) throw violation('row_shape');
  const inner = text.slice(span.valueStart + 1, span.valueEnd - 1);
  if (!inner.includes('\\')) return inner;
  const decoded: unknown = JSON.parse(text.slice(span.valueStart, span.valueEnd));
  if (typeof decoded !== 'string') throw violation('row_shape');
  return decoded;
}
