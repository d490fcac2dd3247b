import { isJsonObject, parseInt64, SyncError } from '@oversync/protocol';
import type { JsonObject, JsonValue, ViolationKind } from '@oversync/protocol';

import { ECHOED_KEY_LENGTH_MAX, ECHOED_NAME_LENGTH_MAX } from '../limits.ts';
import { MemberPlans } from './push-member-plan.ts';
import type { MemberPlan } from './push-member-plan.ts';
import { formatCanonicalPayload, formatRowJson, formatRowLiteral, readPayload } from './push-payload.ts';
import type { PushOp, PushRow } from './push-row.ts';
import { getTableCodec } from './push-table-codec.ts';
import type { TableCodec } from './push-table-codec.ts';
import type { Catalog } from './table-description.ts';
import { createLimitError, createViolationError } from './violation.ts';
import type { Violation } from './violation.ts';

export interface RowReaderSettings {
  readonly catalog: Catalog;
  readonly scopeId: string;
  /** Option `maxBytesPerSnapshotRow`. */
  readonly rowBytesMax: number;
}

/** What is known of a row when something about it is wrong. */
interface Place {
  readonly rowOrdinal: number;
  readonly schema: string;
  readonly table: string;
  readonly keyColumn?: string;
  readonly keyText?: string;
}

interface TableState {
  readonly codec: TableCodec;
  readonly plans: MemberPlans;
  readonly seenKeys: Set<string>;
}

/** Reads the rows of one chunk in order; the first row that breaks a rule ends the chunk. */
export class PushRowReader {
  readonly #settings: RowReaderSettings;
  /** By the spelling of the request, so that names are normalised once per chunk. */
  readonly #spelled = new Map<string, TableState>();
  readonly #byTable = new Map<string, TableState>();
  /** Of the row before, whose table the next one nearly always shares. */
  #last: { readonly schema: string; readonly table: string; readonly state: TableState } | undefined;

  constructor(settings: RowReaderSettings) {
    this.#settings = settings;
  }

  /** @throws SyncError `push_chunk_invalid` with a violation, or `invalid_request` for a member of a wrong JSON type. */
  read(raw: JsonValue, rowOrdinal: number): PushRow {
    if (!isJsonObject(raw)) throw createTypeError('a row must be an object');
    const state = this.#findTable(raw, rowOrdinal);
    const { codec } = state;
    const place = { rowOrdinal, schema: codec.table.schema, table: codec.table.table };
    const op = readOp(raw, place);
    const keyText = readKey(raw['key'], codec, place);
    const keyed = { rowOrdinal, schema: place.schema, table: place.table, keyColumn: codec.table.keyColumn, keyText };
    const baseRowVersion = readBaseRowVersion(raw, keyed);
    if (state.seenKeys.has(keyText)) throw refuse(keyed, 'duplicate_row');
    state.seenKeys.add(keyText);
    const head = `{"base_row_version":"${baseRowVersion}${codec.canonicalKeyStart}${JSON.stringify(keyText)}},"op":"${op}","payload":`;
    const end = `,"row_ordinal":"${rowOrdinal}${codec.canonicalEnd}`;
    const payload = raw['payload'];
    if (op === 'DELETE') {
      if (payload !== undefined && payload !== null) throw refuse(keyed, 'payload');
      const canonicalText = `${head}null${end}`;
      return { rowOrdinal, table: codec.table, op, keyText, baseRowVersion, columnSet: '', canonicalText, applyText: null };
    }
    if (!isJsonObject(payload)) throw refuse(keyed, 'payload');
    const { columnSet, canonicalText, applyText } = this.#readValues(state, keyed, op, payload, head, end);
    return { rowOrdinal, table: codec.table, op, keyText, baseRowVersion, columnSet, canonicalText, applyText };
  }

  #readValues(
    state: TableState,
    place: Place & { readonly keyText: string },
    op: PushOp,
    payload: JsonObject,
    head: string,
    end: string,
  ): Pick<PushRow, 'columnSet' | 'canonicalText' | 'applyText'> {
    const { codec } = state;
    const plan = state.plans.get(Object.keys(payload));
    checkMembers(plan, op, place);
    const texts = readPayload(plan, payload, place.keyText);
    if ('kind' in texts) throw refuse(place, texts.kind, texts);
    const canonicalPayload = formatCanonicalPayload(codec, plan, payload);
    checkRowBytes(canonicalPayload, this.#settings.rowBytesMax);
    const source = { texts, scopeId: this.#settings.scopeId, keyText: place.keyText };
    return {
      columnSet: op === 'INSERT' ? plan.insertSet : plan.updateSet,
      canonicalText: head + canonicalPayload + end,
      applyText: plan.form === 'l' ? formatRowLiteral(plan, source) : formatRowJson(codec, plan, source),
    };
  }

  #findTable(raw: JsonObject, rowOrdinal: number): TableState {
    const schema = readText(raw, 'schema');
    const table = readText(raw, 'table');
    const last = this.#last;
    if (last?.schema === schema && last.table === table) return last.state;
    const spelling = `${schema}\0${table}`;
    const state = this.#spelled.get(spelling) ?? this.#findSpelled(spelling, schema, table, rowOrdinal);
    this.#last = { schema, table, state };
    return state;
  }

  #findSpelled(spelling: string, schema: string, table: string, rowOrdinal: number): TableState {
    const state = this.#findNormalised(normaliseName(schema) || 'public', normaliseName(table), rowOrdinal);
    this.#spelled.set(spelling, state);
    return state;
  }

  #findNormalised(schema: string, table: string, rowOrdinal: number): TableState {
    const name = `${schema}.${table}`;
    const description = this.#settings.catalog.tables.get(name);
    if (description === undefined) throw refuse({ rowOrdinal, schema: echoName(schema), table: echoName(table) }, 'table');
    const known = this.#byTable.get(name);
    if (known !== undefined) return known;
    const codec = getTableCodec(description);
    const state: TableState = { codec, plans: new MemberPlans(codec), seenKeys: new Set() };
    this.#byTable.set(name, state);
    return state;
  }
}

function normaliseName(text: string): string {
  return text.trim().toLowerCase();
}

function echoName(name: string): string {
  return name.length <= ECHOED_NAME_LENGTH_MAX ? name : '';
}

/** `null` counts as absent; another JSON type is a malformed request. */
function readText(raw: JsonObject, name: string): string {
  const value = raw[name];
  if (typeof value === 'string') return value;
  if (value === undefined || value === null) return '';
  throw createTypeError(`${name} must be a string`);
}

function readOp(raw: JsonObject, place: Place): PushOp {
  const text = readText(raw, 'op');
  const op = text === 'INSERT' || text === 'UPDATE' || text === 'DELETE' ? text : normaliseOp(text);
  if (op === null) throw refuse(place, 'payload');
  return op;
}

function normaliseOp(text: string): PushOp | null {
  const op = text.trim().toUpperCase();
  return op === 'INSERT' || op === 'UPDATE' || op === 'DELETE' ? op : null;
}

function readKey(raw: JsonValue | undefined, codec: TableCodec, place: Place): string {
  const keyText = isJsonObject(raw) ? raw[codec.table.keyColumn] : undefined;
  const isValid = isJsonObject(raw) && typeof keyText === 'string' && Object.keys(raw).length === 1 && codec.isKey(keyText);
  if (!isValid) throw refuse(place, 'key');
  return keyText;
}

function readBaseRowVersion(raw: JsonObject, place: Place): string {
  const value = raw['base_row_version'];
  if (typeof value === 'number' && value >= 0) return String(value);
  if (value === undefined || value === null) return '0';
  const version = parseInt64(value);
  if (version === null) throw createTypeError('base_row_version must be a 64-bit integer');
  if (version < 0n) throw refuse(place, 'payload');
  return version.toString();
}

function checkMembers(plan: MemberPlan, op: PushOp, place: Place): void {
  if (plan.unknownName !== undefined) throw refuse(place, 'unknown_column', { column: echoName(plan.unknownName) });
  if (op === 'INSERT' && plan.missingColumn !== undefined) throw refuse(place, 'not_null', { column: plan.missingColumn });
}

/** The payload alone is a lower bound of the wire form of the row, so nothing that fits is refused here. */
function checkRowBytes(canonicalPayload: string, rowBytesMax: number): void {
  if (canonicalPayload.length * 3 <= rowBytesMax) return;
  const actual = new TextEncoder().encode(canonicalPayload).length;
  if (actual <= rowBytesMax) return;
  const limit = { name: 'maxBytesPerSnapshotRow', limit: rowBytesMax, actual };
  throw createLimitError('push_chunk_invalid', limit, 'a row is larger than the snapshot limit of one row');
}

function createTypeError(message: string): SyncError {
  return new SyncError('invalid_request', { message });
}

function refuse(place: Place, kind: ViolationKind, facts: Pick<Violation, 'column' | 'category'> = {}): SyncError {
  return createViolationError('push_chunk_invalid', {
    kind,
    schema: place.schema,
    table: place.table,
    ...(facts.column === undefined ? {} : { column: facts.column }),
    ...(facts.category === undefined ? {} : { category: facts.category }),
    row_ordinal: place.rowOrdinal,
    ...echoKey(place),
  });
}

function echoKey(place: Place): Pick<Violation, 'key'> {
  if (place.keyColumn === undefined || place.keyText === undefined) return {};
  return place.keyText.length > ECHOED_KEY_LENGTH_MAX ? {} : { key: { [place.keyColumn]: place.keyText } };
}
