/** Signature, flags and the length of an extension that PostgreSQL does not use yet. */
const HEADER_BYTES = 19;
const SIGNATURE_BYTES = 11;
const COUNT_BYTES = 2;
const LENGTH_BYTES = 4;
/** Number of fields that stands for the end of the data. */
const END_OF_DATA = -1;

type Part = 'header' | 'field-count' | 'field-length' | 'field' | 'end';

/**
 * Takes the field contents out of PostgreSQL's binary COPY format, whose chunks may cut anything anywhere. Meant for text columns, whose
 * binary form is their text: PostgreSQL then sends the stored bytes without looking at each of them, several times faster than as text
 * or CSV.
 */
export class CopyBinaryReader {
  #part: Part = 'header';
  /** Bytes that the current part still lacks. */
  #missing = HEADER_BYTES;
  #fieldsLeft = 0;
  /** Number of a count or length that came in several chunks, as far as it is known. */
  #number = 0;

  /** Whether the end of the data was seen; without it the copy was cut off. */
  get isComplete(): boolean {
    return this.#part === 'end';
  }

  /** The contents in `chunk`, in order and without anything between them. They are views of `chunk`; NULL has no content. */
  read(chunk: Uint8Array): readonly Uint8Array[] {
    const contents: Uint8Array[] = [];
    let position = 0;
    while (position < chunk.byteLength) {
      const taken = Math.min(this.#missing, chunk.byteLength - position);
      const piece = chunk.subarray(position, position + taken);
      position += taken;
      this.#missing -= taken;
      if (this.#part === 'field') contents.push(piece);
      else if (this.#part === 'header') checkSignature(piece, HEADER_BYTES - this.#missing - taken);
      else if (this.#part === 'end') throw new Error('the copy goes on behind its end');
      else for (const byte of piece) this.#number = (this.#number << 8) | byte;
      if (this.#missing === 0) this.#advance();
    }
    return contents;
  }

  #advance(): void {
    if (this.#part === 'field-count') {
      this.#fieldsLeft = (this.#number << 16) >> 16;
      if (this.#fieldsLeft === END_OF_DATA) return this.#expect('end', Number.POSITIVE_INFINITY);
    } else if (this.#part === 'field-length') {
      this.#fieldsLeft -= 1;
      if (this.#number > 0) return this.#expect('field', this.#number);
    }
    if (this.#fieldsLeft > 0) this.#expect('field-length', LENGTH_BYTES);
    else this.#expect('field-count', COUNT_BYTES);
  }

  #expect(part: Part, byteCount: number): void {
    this.#part = part;
    this.#missing = byteCount;
    this.#number = 0;
  }
}

const SIGNATURE = new Uint8Array([0x50, 0x47, 0x43, 0x4f, 0x50, 0x59, 0x0a, 0xff, 0x0d, 0x0a, 0x00]);

/** A driver that answers in another format would otherwise put its separators into the middle of an answer. */
function checkSignature(piece: Uint8Array, offset: number): void {
  for (const [index, byte] of piece.entries()) {
    if (offset + index < SIGNATURE_BYTES && byte !== SIGNATURE[offset + index]) throw new Error('not a binary COPY');
  }
}
