import type { PushRow } from '../rules/push-row.ts';
import { formatHex } from '../rules/hex.ts';
import { Utf8Pieces } from '../rules/utf8-pieces.ts';
import type { EncodedText } from '../rules/utf8-pieces.ts';
import { COPY_FORMAT } from './push-row.sql.ts';
import type { PushRef } from './push-row.sql.ts';

const { quote, delimiter, null: nullText } = COPY_FORMAT;

/** Characters that a CSV field cannot hold without quotes. */
const NEEDS_QUOTES = /[\u0001-\u0003\n\r]/;

/** UTF-16 units that are put together before they are encoded: enough to cost few calls, few enough to be garbage that is never moved. */
const BATCH_LENGTH = 16_384;

/** Encodes texts that come row by row. */
class BatchEncoder {
  readonly #pieces = new Utf8Pieces();
  #batch = '';

  add(text: string): void {
    this.#batch += text;
    if (this.#batch.length >= BATCH_LENGTH) this.#encode();
  }

  takeFull(): readonly Uint8Array[] {
    return this.#pieces.takeFull();
  }

  finish(): EncodedText {
    this.#encode();
    return this.#pieces.finish();
  }

  #encode(): void {
    this.#pieces.append(this.#batch);
    this.#batch = '';
  }
}

/** The canonical rows joined by commas. */
export class CanonicalRowsWriter {
  readonly #encoder = new BatchEncoder();
  #separator = '';

  add(row: PushRow): void {
    this.#encoder.add(this.#separator + row.canonicalText);
    this.#separator = ',';
  }

  finish(): EncodedText {
    return this.#encoder.finish();
  }
}

/** The rows as bytes for `copyRows`, to be sent while they are written. */
export class CopyRowsWriter {
  readonly #encoder = new BatchEncoder();
  readonly #lineStart: string;

  constructor(push: PushRef) {
    this.#lineStart = `${push.scopePk}${delimiter}${push.pushId}${delimiter}`;
  }

  /** Returns the bytes that are complete. */
  add(row: PushRow): readonly Uint8Array[] {
    this.#encoder.add(formatCopyLine(this.#lineStart, row));
    return this.#encoder.takeFull();
  }

  /** Returns the bytes that are left. */
  finish(): readonly Uint8Array[] {
    return this.#encoder.finish().pieces;
  }
}

function formatCopyLine(start: string, row: PushRow): string {
  const key = row.table.keyKind === 'text' && NEEDS_QUOTES.test(row.keyText) ? quoteCsv(row.keyText) : row.keyText;
  // A literal holds line feeds often enough to be quoted without a look.
  const apply = row.applyText === null ? nullText : quoteCsv(row.applyText);
  return (
    `${start}${row.rowOrdinal}${delimiter}${row.table.tableId}${delimiter}${row.op}${delimiter}\\x${formatKeyHex(row)}${delimiter}${key}${delimiter}` +
    `${row.baseRowVersion}${delimiter}${row.columnSet === '' ? quote + quote : row.columnSet}${delimiter}${row.canonicalText}${delimiter}${apply}\n`
  );
}

function quoteCsv(text: string): string {
  return text.includes(quote) ? quote + text.replaceAll(quote, quote + quote) + quote : quote + text + quote;
}

/** The rows as the JSON text of `insertRows`. */
export function formatRowsJson(rows: readonly PushRow[]): string {
  return JSON.stringify(
    rows.map((row) => [
      row.rowOrdinal,
      row.table.tableId,
      row.op,
      formatKeyHex(row),
      row.keyText,
      row.baseRowVersion,
      row.columnSet,
      row.canonicalText,
      row.applyText,
    ]),
  );
}

/** Hexadecimal digits of the metadata key: the raw bytes of a uuid, the UTF-8 bytes of a text. */
function formatKeyHex(row: PushRow): string {
  return row.table.keyKind === 'uuid' ? row.keyText.replaceAll('-', '') : formatHex(new TextEncoder().encode(row.keyText));
}

/** The rows as the JSON text of `updateRebuiltRows`. */
export function formatRebuiltJson(rows: readonly PushRow[]): string {
  return JSON.stringify(rows.map((row) => [row.rowOrdinal, row.columnSet, row.applyText]));
}
