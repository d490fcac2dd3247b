/** Why a text is not an acceptable JSON document. */
export type JsonSyntaxReason = 'syntax' | 'trailing_data' | 'duplicate_member' | 'lone_surrogate' | 'depth' | 'bom' | 'utf8';

/** A text that {@link parseJson} refuses. The message names the reason and the place, never the content. */
export class JsonSyntaxError extends Error {
  override readonly name = 'JsonSyntaxError';
  readonly reason: JsonSyntaxReason;
  /** UTF-16 index into the text, 0 where no place is known. */
  readonly offset: number;

  constructor(reason: JsonSyntaxReason, offset: number) {
    super(`JSON refused: ${reason} at offset ${offset}`);
    this.reason = reason;
    this.offset = offset;
  }
}

/** Why a value has no JSON text. */
export type JsonValueReason = 'lone_surrogate' | 'non_finite';

/** A value that has no (canonical) JSON text: an unpaired surrogate, or a number outside finite binary64. */
export class JsonValueError extends Error {
  override readonly name = 'JsonValueError';
  readonly reason: JsonValueReason;

  constructor(reason: JsonValueReason) {
    super(`value has no JSON text: ${reason}`);
    this.reason = reason;
  }
}
