import type { PushRow } from '../rules/push-row.ts';
import { formatHex } from '../rules/hex.ts';
import type { PiecePool } from '../rules/piece-pool.ts';
import { Utf8Pieces } from '../rules/utf8-pieces.ts';
import type { EncodedText } from '../rules/utf8-pieces.ts';

/** UTF-16 units that are put together before they are encoded: enough to cost few calls, few enough to be garbage that is never moved. */
const BATCH_LENGTH = 16_384;

const COMMA = new TextEncoder().encode(',');

/** The canonical rows joined by commas. */
export class CanonicalRowsWriter {
  readonly #pieces: Utf8Pieces;
  #batch = '';
  #isEmpty = true;

  constructor(pool?: PiecePool) {
    this.#pieces = new Utf8Pieces(pool);
  }

  add(row: PushRow): void {
    this.#batch += this.#isEmpty ? row.canonicalText : `,${row.canonicalText}`;
    this.#isEmpty = false;
    if (this.#batch.length >= BATCH_LENGTH) this.#encode();
  }

  /** A row that is encoded already. */
  addBytes(canonicalText: Uint8Array): void {
    if (this.#batch !== '') this.#encode();
    if (!this.#isEmpty) this.#pieces.appendBytes(COMMA);
    this.#isEmpty = false;
    this.#pieces.appendBytes(canonicalText);
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
