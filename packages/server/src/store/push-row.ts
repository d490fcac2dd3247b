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

/** Rows as they are staged, in the two forms that leave the process: each row is encoded when it comes, and not kept. */
export class StagedRowsWriter {
  readonly #canonical = new Utf8Pieces();
  readonly #copy = new Utf8Pieces();
  readonly #lineStart: string;
  #canonicalText = '';
  #copyText = '';
  #rowCount = 0;

  constructor(push: PushRef) {
    this.#lineStart = `${push.scopePk}${delimiter}${push.pushId}${delimiter}`;
  }

  add(row: PushRow): void {
    this.#canonicalText += this.#rowCount === 0 ? row.canonicalText : `,${row.canonicalText}`;
    this.#copyText += formatCopyLine(this.#lineStart, row);
    this.#rowCount += 1;
    if (this.#copyText.length >= BATCH_LENGTH) this.#encode();
  }

  /** The canonical rows joined by commas, and the input of {@link copyRows}. */
  finish(): { readonly canonical: EncodedText; readonly copy: EncodedText } {
    this.#encode();
    return { canonical: this.#canonical.finish(), copy: this.#copy.finish() };
  }

  #encode(): void {
    this.#canonical.append(this.#canonicalText);
    this.#copy.append(this.#copyText);
    this.#canonicalText = '';
    this.#copyText = '';
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
