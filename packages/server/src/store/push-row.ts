import type { PushRow } from '../rules/push-row.ts';
import { formatHex } from '../rules/hex.ts';
import { COPY_FORMAT } from './push-row.sql.ts';
import type { PushRef } from './push-row.sql.ts';

/** UTF-16 units per piece of a COPY stream: large enough to cost few calls, small enough not to double a chunk in memory. */
const PIECE_LENGTH = 262_144;

const { quote, delimiter, null: nullText } = COPY_FORMAT;

/** Characters that a CSV field cannot hold without quotes. */
const NEEDS_QUOTES = /[\u0001-\u0003\n\r]/;

/** The rows as bytes for `copyRows`. */
export function* formatCopyRows(push: PushRef, rows: readonly PushRow[]): Generator<Uint8Array> {
  const encoder = new TextEncoder();
  const start = `${push.scopePk}${delimiter}${push.pushId}${delimiter}`;
  let piece = '';
  for (const row of rows) {
    piece += formatCopyLine(start, row);
    if (piece.length < PIECE_LENGTH) continue;
    yield encoder.encode(piece);
    piece = '';
  }
  if (piece !== '') yield encoder.encode(piece);
}

function formatCopyLine(start: string, row: PushRow): string {
  const key = NEEDS_QUOTES.test(row.keyText) ? quoteCsv(row.keyText) : row.keyText;
  const apply = row.applyText === null ? nullText : NEEDS_QUOTES.test(row.applyText) ? quoteCsv(row.applyText) : row.applyText;
  return (
    `${start}${row.rowOrdinal}${delimiter}${row.table.tableId}${delimiter}${row.op}${delimiter}\\x${formatKeyHex(row)}${delimiter}${key}${delimiter}` +
    `${row.baseRowVersion}${delimiter}${row.columnSet === '' ? quote + quote : row.columnSet}${delimiter}${row.canonicalText}${delimiter}${apply}\n`
  );
}

function quoteCsv(text: string): string {
  return quote + text.replaceAll(quote, quote + quote) + quote;
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
