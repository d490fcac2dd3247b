import { canonicalJson, createJsonObject } from '@oversync/protocol';
import type { JsonObject, JsonValue } from '@oversync/protocol';

import { KEY_SOURCE, SCOPE_SOURCE } from './push-member-plan.ts';
import type { MemberPlan } from './push-member-plan.ts';
import type { TableCodec } from './push-table-codec.ts';
import { checkJsonValue, quoteField } from './value-field.ts';
import type { ValueFailure } from './value-field.ts';

/** A payload that breaks a rule, with the column where one is to blame. */
export interface PayloadFailure extends ValueFailure {
  readonly column?: string;
}

const NOT_NULL = { kind: 'not_null' } as const;
const KEY_DIFFERS = { kind: 'payload' } as const;

/** Texts of a payload for PostgreSQL, by index of the plan's names; `undefined` where the value is ignored. */
export type PayloadTexts = readonly (string | null | undefined)[];

/** Checks every value and returns what PostgreSQL has to read. */
export function readPayload(plan: MemberPlan, payload: JsonObject, keyText: string): PayloadTexts | PayloadFailure {
  const texts: (string | null | undefined)[] = [];
  for (let index = 0; index < plan.names.length; index += 1) {
    const slot = plan.slots[index];
    const name = plan.names[index] ?? '';
    const value = payload[name];
    if (slot === null || slot === undefined) {
      const failure = value === undefined ? null : checkJsonValue(value);
      if (failure !== null) return { ...failure, column: name };
      texts.push(undefined);
      continue;
    }
    if (slot.isKey) {
      if (value !== keyText) return { ...KEY_DIFFERS, column: name };
      texts.push(keyText);
      continue;
    }
    if (value === null || value === undefined) {
      if (slot.column.notNull) return { ...NOT_NULL, column: name };
      texts.push(null);
      continue;
    }
    const text = slot.read(value);
    if (typeof text !== 'string') return { ...text, column: name };
    texts.push(text);
  }
  return texts;
}

/** Row literal with the scope and the key in their places; columns left out are NULL and never read. */
export function formatRowLiteral(plan: MemberPlan, row: PayloadSource): string {
  let literal = '';
  for (const source of plan.fieldSources) literal += `${literal === '' ? '(' : ','}${formatField(plan, row, source)}`;
  return `${literal})`;
}

function formatField(plan: MemberPlan, row: PayloadSource, source: number): string {
  if (source === SCOPE_SOURCE) return quoteField(row.scopeId);
  if (source === KEY_SOURCE) return quoteField(row.keyText);
  const text = row.texts[source];
  if (text === null || text === undefined) return '';
  return plan.slots[source]?.isBare === true ? text : quoteField(text);
}

export interface PayloadSource {
  readonly texts: PayloadTexts;
  readonly scopeId: string;
  readonly keyText: string;
}

/** JSON object with the text of every column that the row sets, for types that a row literal cannot leave out. */
export function formatRowJson(codec: TableCodec, plan: MemberPlan, row: PayloadSource): string {
  const members = createJsonObject();
  for (let index = 0; index < plan.slots.length; index += 1) {
    const text = row.texts[index];
    const name = plan.names[index];
    if (text !== undefined && name !== undefined) members[name] = text;
  }
  members[codec.table.keyColumn] = row.keyText;
  return JSON.stringify(members);
}

/** Canonical text of a payload whose names are known columns. */
export function formatCanonicalPayload(codec: TableCodec, plan: MemberPlan, payload: JsonObject): string {
  if (codec.needsCanonicaliser || plan.ignoresValues) return canonicalJson(payload);
  if (plan.isSorted) return JSON.stringify(payload);
  const sorted: Record<string, JsonValue> = createJsonObject();
  for (const index of plan.sortedIndexes) {
    const name = plan.names[index] ?? '';
    sorted[name] = payload[name] ?? null;
  }
  return JSON.stringify(sorted);
}
