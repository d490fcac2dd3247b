/** Rows that were read in place, written for `copyRows` without a string in between. */
import type { FlatChunk } from '../rules/flat-chunk.ts';
import { ABSENT, ESCAPED, REWRITTEN } from '../rules/flat-row.ts';
import type { FlatRow } from '../rules/flat-row.ts';
import type { FlatTemplate } from '../rules/flat-template.ts';
import { KEY_SOURCE, SCOPE_SOURCE } from '../rules/push-member-plan.ts';
import { quoteField } from '../rules/value-field.ts';
import { copyBytes, writeDecimal, writeUnescaped, writeUuid } from '../rules/byte-writers.ts';
import { encodeTableAndOp } from './copy-rows.ts';
import type { CopyRowsWriter } from './copy-rows.ts';
import type { CanonicalRowsWriter } from './push-row.ts';

const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN = 0x7b;
const CLOSE = 0x7d;
const ZERO = 0x30;

const LENGTH_BYTES = 4;
const INT64_BYTES = 8;
const UUID_BYTES = 16;

/** Lengths, numbers and quotes of a row, with room to spare; the constant texts of its form come on top. */
const ROW_SURPLUS_BYTES = 256;

/** Bytes that one UTF-16 unit of a rewritten value can become, with all of its characters doubled. */
const REWRITTEN_UNIT_BYTES = 6;

/** One value of a row literal and what stands before it. */
interface LiteralPart {
  readonly before: Uint8Array;
  /** Index of the value; the key where it is that of the template. */
  readonly index: number;
  readonly isBare: boolean;
}

/** Everything about the rows of one form that is the same in each of them. */
interface FormBytes {
  readonly template: FlatTemplate;
  readonly tableAndOp: Uint8Array;
  /** With its length. */
  readonly columnSet: Uint8Array;
  /** Canonical text before the base version, between it and the key, between key and payload, and behind the ordinal. */
  readonly canonical: readonly [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
  /** Canonical text between payload and ordinal. */
  readonly ordinalStart: Uint8Array;
  /** Names of the members as they stand before their values, in the order of the request. */
  readonly names: readonly Uint8Array[];
  readonly literalParts: readonly LiteralPart[];
  readonly literalEnd: Uint8Array;
  readonly fixedLength: number;
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function createFormBytes(template: FlatTemplate, scopeId: string): FormBytes {
  const { codec, op, plan } = template;
  const columnSet = new Uint8Array(LENGTH_BYTES + template.columnSet.length);
  new DataView(columnSet.buffer).setInt32(0, template.columnSet.length);
  columnSet.set(encode(template.columnSet), LENGTH_BYTES);
  const canonical = [
    encode('{"base_row_version":"'),
    encode(`${codec.canonicalKeyStart}"`),
    encode(`"},"op":"${op}","payload":${plan === undefined ? 'null' : ''}`),
    encode(codec.canonicalEnd),
  ] as const;
  const names = plan?.names.map((name) => encode(`${JSON.stringify(name)}:`)) ?? [];
  const { parts, end } = plan === undefined ? { parts: [], end: encode('') } : createLiteral(template, scopeId);
  const texts = [...canonical, ...names, ...parts.map(({ before }) => before), end, columnSet];
  return {
    template,
    tableAndOp: encodeTableAndOp(codec.table.tableId, op),
    columnSet,
    canonical,
    ordinalStart: encode(',"row_ordinal":"'),
    names,
    literalParts: parts,
    literalEnd: end,
    fixedLength: ROW_SURPLUS_BYTES + texts.reduce((sum, text) => sum + text.byteLength + 2, 0),
  };
}

function createLiteral(
  { plan, keyIndex, payloadIndex }: FlatTemplate,
  scopeId: string,
): { readonly parts: readonly LiteralPart[]; readonly end: Uint8Array } {
  const parts: LiteralPart[] = [];
  let before = '(';
  for (const [position, source] of (plan?.fieldSources ?? []).entries()) {
    if (position > 0) before += ',';
    if (source === SCOPE_SOURCE) before += quoteField(scopeId);
    else if (source === KEY_SOURCE || source >= 0) {
      const isKey = source === KEY_SOURCE;
      const isBare = !isKey && plan?.slots[source]?.isBare === true;
      parts.push({ before: encode(before), index: isKey ? keyIndex : payloadIndex + source, isBare });
      before = '';
    }
  }
  return { parts, end: encode(`${before})`) };
}

/** Writes each row that a {@link FlatChunk} has read both into the copy and into the canonical text. */
export class FlatCopyWriter {
  readonly #chunk: FlatChunk;
  readonly #row: FlatRow;
  readonly #source: Uint8Array;
  readonly #copy: CopyRowsWriter;
  readonly #canonical: CanonicalRowsWriter;
  readonly #scopeId: string;
  readonly #forms = new Map<FlatTemplate, FormBytes>();
  readonly #encoder = new TextEncoder();
  #last: FormBytes | undefined;

  constructor(chunk: FlatChunk, scopeId: string, copy: CopyRowsWriter, canonical: CanonicalRowsWriter) {
    this.#chunk = chunk;
    this.#row = chunk.row;
    this.#source = chunk.bytes;
    this.#copy = copy;
    this.#canonical = canonical;
    this.#scopeId = scopeId;
  }

  /** Writes the row that the chunk has read last. */
  add(template: FlatTemplate): void {
    const form = this.#last?.template === template ? this.#last : this.#findForm(template);
    const { pieces, rowStart } = this.#copy;
    const rowOrdinal = this.#chunk.startRowOrdinal + this.#chunk.rowCount - 1;
    pieces.reserve(2 * this.#chunk.rowLength + form.fixedLength + rowStart.byteLength + this.#rewrittenLength(template));
    const { bytes, view } = pieces;
    let at = copyBytes(rowStart, 0, rowStart.byteLength, bytes, pieces.used);
    view.setInt32(at, rowOrdinal);
    at = copyBytes(form.tableAndOp, 0, form.tableAndOp.byteLength, bytes, at + LENGTH_BYTES);
    at = this.#writeKey(template, bytes, view, at);
    view.setInt32(at, INT64_BYTES);
    view.setBigInt64(at + LENGTH_BYTES, this.#readVersion(template));
    at = copyBytes(form.columnSet, 0, form.columnSet.byteLength, bytes, at + LENGTH_BYTES + INT64_BYTES);
    const canonicalStart = at + LENGTH_BYTES;
    const canonicalEnd = this.#writeCanonical(form, rowOrdinal, bytes, canonicalStart);
    view.setInt32(at, canonicalEnd - canonicalStart);
    this.#canonical.addBytes(bytes.subarray(canonicalStart, canonicalEnd));
    const literalStart = canonicalEnd + LENGTH_BYTES;
    const literalEnd = template.plan === undefined ? literalStart : this.#writeLiteral(form, bytes, literalStart);
    view.setInt32(canonicalEnd, template.plan === undefined ? -1 : literalEnd - literalStart);
    pieces.used = literalEnd;
  }

  #findForm(template: FlatTemplate): FormBytes {
    const form = this.#forms.get(template) ?? createFormBytes(template, this.#scopeId);
    this.#forms.set(template, form);
    this.#last = form;
    return form;
  }

  #rewrittenLength({ values }: FlatTemplate): number {
    const { forms, texts } = this.#row;
    let length = 0;
    for (let index = 0; index < values.length; index += 1)
      if (forms[index] === REWRITTEN) length += (texts[index] ?? '').length * REWRITTEN_UNIT_BYTES;
    return length;
  }

  /** Both forms of the key. */
  #writeKey({ codec, keyIndex }: FlatTemplate, bytes: Uint8Array, view: DataView, start: number): number {
    const [from, to] = [this.#row.starts[keyIndex] ?? 0, this.#row.ends[keyIndex] ?? 0];
    let at = start + LENGTH_BYTES;
    if (codec.table.keyKind === 'uuid') {
      view.setInt32(start, UUID_BYTES);
      at = writeUuid(this.#source, from, bytes, at);
    } else {
      view.setInt32(start, to - from);
      at = copyBytes(this.#source, from, to, bytes, at);
    }
    view.setInt32(at, to - from);
    return copyBytes(this.#source, from, to, bytes, at + LENGTH_BYTES);
  }

  #readVersion({ baseIndex }: FlatTemplate): bigint {
    const [from, to] = [this.#row.starts[baseIndex] ?? 0, this.#row.ends[baseIndex] ?? 0];
    if (baseIndex < 0 || (to - from === 1 && this.#source[from] === ZERO)) return 0n;
    let text = '';
    for (let at = from; at < to; at += 1) text += String.fromCharCode(this.#source[at] ?? 0);
    return BigInt(text);
  }

  #writeCanonical(form: FormBytes, rowOrdinal: number, bytes: Uint8Array, start: number): number {
    const { baseIndex, keyIndex } = form.template;
    const { starts, ends } = this.#row;
    const [beforeVersion, beforeKey, beforePayload, end] = form.canonical;
    let at = copyBytes(beforeVersion, 0, beforeVersion.byteLength, bytes, start);
    if (baseIndex < 0) bytes[at++] = ZERO;
    else at = copyBytes(this.#source, starts[baseIndex] ?? 0, ends[baseIndex] ?? 0, bytes, at);
    at = copyBytes(beforeKey, 0, beforeKey.byteLength, bytes, at);
    at = copyBytes(this.#source, starts[keyIndex] ?? 0, ends[keyIndex] ?? 0, bytes, at);
    at = copyBytes(beforePayload, 0, beforePayload.byteLength, bytes, at);
    at = this.#writePayload(form, bytes, at);
    at = copyBytes(form.ordinalStart, 0, form.ordinalStart.byteLength, bytes, at);
    at = writeDecimal(rowOrdinal, bytes, at);
    return copyBytes(end, 0, end.byteLength, bytes, at);
  }

  /** The members as they came, or put in order. */
  #writePayload({ template, names }: FormBytes, bytes: Uint8Array, start: number): number {
    const { plan, payloadIndex, payloadHeadLength } = template;
    const { wireStarts, wireEnds } = this.#row;
    if (plan === undefined) return start;
    if (plan.isSorted) {
      const from = (wireStarts[payloadIndex] ?? 0) - payloadHeadLength;
      return copyBytes(this.#source, from, (wireEnds[payloadIndex + plan.names.length - 1] ?? 0) + 1, bytes, start);
    }
    let at = start;
    for (const index of plan.sortedIndexes) {
      const name = names[index];
      if (name === undefined) continue;
      bytes[at] = at === start ? OPEN : COMMA;
      at = copyBytes(name, 0, name.byteLength, bytes, at + 1);
      at = copyBytes(this.#source, wireStarts[payloadIndex + index] ?? 0, wireEnds[payloadIndex + index] ?? 0, bytes, at);
    }
    bytes[at] = CLOSE;
    return at + 1;
  }

  #writeLiteral({ literalParts, literalEnd }: FormBytes, bytes: Uint8Array, start: number): number {
    let at = start;
    for (let index = 0; index < literalParts.length; index += 1) {
      const part = literalParts[index];
      if (part === undefined) break;
      at = copyBytes(part.before, 0, part.before.byteLength, bytes, at);
      at = this.#writeField(part, bytes, at);
    }
    return copyBytes(literalEnd, 0, literalEnd.byteLength, bytes, at);
  }

  #writeField({ index, isBare }: LiteralPart, bytes: Uint8Array, start: number): number {
    const { forms, starts, ends, texts } = this.#row;
    const form = forms[index];
    if (form === ABSENT) return start;
    if (form === REWRITTEN) {
      const text = isBare ? (texts[index] ?? '') : quoteField(texts[index] ?? '');
      return start + this.#encoder.encodeInto(text, bytes.subarray(start)).written;
    }
    const [from, to] = [starts[index] ?? 0, ends[index] ?? 0];
    if (isBare) return copyBytes(this.#source, from, to, bytes, start);
    bytes[start] = QUOTE;
    const at =
      form === ESCAPED
        ? writeUnescaped(this.#source, from, to, bytes, start + 1)
        : copyBytes(this.#source, from, to, bytes, start + 1);
    bytes[at] = QUOTE;
    return at + 1;
  }
}
