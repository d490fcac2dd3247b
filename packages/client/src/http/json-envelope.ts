import { checkNestedValue, checkRowText } from './wire-row.ts';
import type { JsonCursor } from './json-cursor.ts';
import { malformedBody } from './json-cursor.ts';
import { int64FromText, violation } from './row-text.ts';

/** Longest text of a member that is no row: a name, a counter, a hash, an unknown extra. */
export const SCALAR_CHARS_MAX = 64 * 1024;

/** Reads an object member by member; `visit` must read the value of the member it is given. */
export async function readMembers(cursor: JsonCursor, visit: (name: string) => Promise<void>): Promise<void> {
  const seen = new Set<string>();
  await cursor.expect('{');
  if (await cursor.accept('}')) return;
  do {
    const nameText = await cursor.valueText(SCALAR_CHARS_MAX);
    if (!nameText.startsWith('"')) throw malformedBody();
    const name = decodeString(nameText);
    if (seen.has(name)) throw malformedBody();
    seen.add(name);
    await cursor.expect(':');
    await visit(name);
  } while (await cursor.accept(','));
  await cursor.expect('}');
}

/** Reads an array and gives out the text of each element. */
export async function readElements(cursor: JsonCursor, charsMax: number, visit: (text: string) => void): Promise<void> {
  if ((await cursor.peek()) !== '[') throw violation('row_shape');
  await cursor.expect('[');
  if (await cursor.accept(']')) return;
  do visit(cursor.bufferedValue(charsMax) ?? (await cursor.valueText(charsMax)));
  while (cursor.bufferedDelimiter(']') ?? (await cursor.delimiter(']')));
}

/** What reads the elements of an array. */
export interface ElementReader {
  /** Reads an element where it stands, if it can; see `JsonCursor.scanned`. */
  scan(text: string, start: number): number;
  /** Reads the text of any element. */
  read(text: string): void;
}

/** Reads one element. A long one is not scanned again with every piece of it that arrives. */
export async function readElement(cursor: JsonCursor, charsMax: number, reader: ElementReader): Promise<void> {
  const scan = (text: string, start: number): number => reader.scan(text, start);
  const whole = cursor.bufferedValue(charsMax);
  if (whole !== null) reader.read(whole);
  else if (!(await cursor.more()) || !cursor.scanned(scan, charsMax)) reader.read(await cursor.valueText(charsMax));
}

/** A signed 64-bit integer without fraction or exponent. */
export async function readInt64(cursor: JsonCursor): Promise<bigint> {
  const value = int64FromText(await cursor.valueText(SCALAR_CHARS_MAX));
  if (value === null) throw violation('token');
  return value;
}

/** A row count or row ordinal: an integer that fits a JavaScript number. */
export async function readCount(cursor: JsonCursor): Promise<number> {
  const value = Number(await readInt64(cursor));
  if (!Number.isSafeInteger(value)) throw violation('count');
  return value;
}

export async function readString(cursor: JsonCursor): Promise<string> {
  return decodeString(await cursor.valueText(SCALAR_CHARS_MAX));
}

export async function readBoolean(cursor: JsonCursor): Promise<boolean> {
  const text = await cursor.valueText(SCALAR_CHARS_MAX);
  if (text !== 'true' && text !== 'false') throw violation('token');
  return text === 'true';
}

/** Reads a value of a member nobody asked for: it must be JSON, nothing else. */
export async function skipValue(cursor: JsonCursor): Promise<void> {
  checkNestedValue(await cursor.valueText(SCALAR_CHARS_MAX));
}

/** The string that a value spells. */
export function decodeString(text: string): string {
  if (!text.startsWith('"')) throw violation('token');
  checkRowText(text);
  const decoded = parseText(text);
  if (typeof decoded !== 'string') throw malformedBody();
  return decoded;
}

/** A body may end inside of a string, and escapes may be none. */
function parseText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw malformedBody(cause);
  }
}
