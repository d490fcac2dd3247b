import { SCOPE_COLUMN, SyncError } from '@oversync/protocol';

import type { IncomingRow } from '../rules/incoming-row.ts';
import { malformedBody } from './json-cursor.ts';
import { checkNestedValue, checkRowText, scanMembers } from './wire-row.ts';
import type { MemberSpan } from './wire-row.ts';

const INT64_MAX = 9223372036854775807n;
const INTEGER = /^-?(?:0|[1-9][0-9]{0,18})$/;

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

/** Reads the rows of one body. It remembers the member names of the last payload, so that equal shapes are compared, not analysed. */
export class RowTextReader {
  #payloadNames: readonly string[] = [];

  /** A row of a pull page or of a committed-rows page (protocol.md 8.7). Members that are not known are ignored. */
  bundleRow(text: string): IncomingRow {
    const spans = this.#rowMembers(text);
    const op = stringMember(text, spans, 'op');
    if (op !== 'INSERT' && op !== 'UPDATE' && op !== 'DELETE') throw violation('row_shape');
    return { ...this.#identity(text, spans), op, payload: this.#payload(text, spans, op === 'DELETE') };
  }

  /** A row of a snapshot chunk (protocol.md 8.11): exactly five members. */
  snapshotRow(text: string): IncomingRow {
    const spans = this.#rowMembers(text);
    if (spans.length !== 5) throw violation('row_shape');
    return { ...this.#identity(text, spans), op: 'INSERT', payload: this.#payload(text, spans, false) };
  }

  #rowMembers(text: string): readonly MemberSpan[] {
    checkRowText(text);
    const { members, end } = scanMembers(text, 0);
    if (end !== text.length) throw malformedBody();
    checkDistinct(members);
    return members;
  }

  #identity(
    text: string,
    spans: readonly MemberSpan[],
  ): Pick<IncomingRow, 'schema' | 'table' | 'keyColumn' | 'keyValue' | 'rowVersion'> {
    const version = member(spans, 'row_version');
    const rowVersion = version === undefined ? null : int64FromText(text.slice(version.valueStart, version.valueEnd));
    if (rowVersion === null || rowVersion <= 0n) throw violation('row_shape');
    const key = member(spans, 'key');
    if (key === undefined) throw violation('row_shape');
    const keyMembers = objectMembers(text, key);
    const [keyMember] = keyMembers;
    if (keyMember === undefined || keyMembers.length !== 1) throw violation('row_shape');
    return {
      schema: stringMember(text, spans, 'schema'),
      table: stringMember(text, spans, 'table'),
      keyColumn: keyMember.name,
      keyValue: stringValue(text, keyMember),
      rowVersion,
    };
  }

  #payload(text: string, spans: readonly MemberSpan[], isDelete: boolean): string | null {
    const payload = member(spans, 'payload');
    if (isDelete) {
      if (payload !== undefined && text.slice(payload.valueStart, payload.valueEnd) !== 'null') throw violation('row_shape');
      return null;
    }
    if (payload === undefined) throw violation('row_shape');
    this.#checkPayload(text, objectMembers(text, payload));
    return text.slice(payload.valueStart, payload.valueEnd);
  }

  #checkPayload(text: string, members: readonly MemberSpan[]): void {
    const known = this.#payloadNames;
    let isKnown = known.length === members.length;
    for (let index = 0; index < members.length; index += 1) {
      const span = members[index];
      if (span === undefined) break;
      if (known[index] !== span.name) isKnown = false;
      const first = text.charCodeAt(span.valueStart);
      if (first === 0x7b || first === 0x5b) checkNestedValue(text.slice(span.valueStart, span.valueEnd));
    }
    if (isKnown) return;
    checkDistinct(members);
    if (member(members, SCOPE_COLUMN) !== undefined) throw violation('hidden_column');
    this.#payloadNames = members.map((span) => span.name);
  }
}

function checkDistinct(members: readonly MemberSpan[]): void {
  if (new Set(members.map((span) => span.name)).size !== members.length) throw malformedBody();
}

function member(spans: readonly MemberSpan[], name: string): MemberSpan | undefined {
  return spans.find((span) => span.name === name);
}

function objectMembers(text: string, span: MemberSpan): readonly MemberSpan[] {
  if (text.charCodeAt(span.valueStart) !== 0x7b) throw violation('row_shape');
  return scanMembers(text, span.valueStart).members;
}

function stringMember(text: string, spans: readonly MemberSpan[], name: string): string {
  const span = member(spans, name);
  if (span === undefined) throw violation('row_shape');
  return stringValue(text, span);
}

function stringValue(text: string, span: MemberSpan): string {
  if (text.charCodeAt(span.valueStart) !== 0x22) throw violation('row_shape');
  const inner = text.slice(span.valueStart + 1, span.valueEnd - 1);
  if (!inner.includes('\\')) return inner;
  const decoded: unknown = JSON.parse(text.slice(span.valueStart, span.valueEnd));
  if (typeof decoded !== 'string') throw violation('row_shape');
  return decoded;
}
