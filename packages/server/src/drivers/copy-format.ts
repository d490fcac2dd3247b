/** The output of COPY TO STDOUT, written here for drivers that have to fetch the rows with a query. */
export interface CopyOut {
  /** The query whose rows are copied. */
  readonly query: string;
  /** What stands before the first row. */
  readonly opening: Buffer;
  /** One row as COPY writes it, with its newline. Values are the bytes of their text form. */
  readonly formatRow: (values: readonly (Buffer | null)[]) => Buffer;
  /** What stands behind the last row. */
  readonly closing: Buffer;
}

const COPY_QUERY = /^\s*COPY\s*\(([^]*)\)\s*TO\s+STDOUT\s*(?:\(([^]*)\))?\s*;?\s*$/i;
const COPY_OPTION = /^\s*(?<name>[a-z]+)\s+(?:(?<word>[a-z0-9]+)|(?<escape>e?)'(?<text>(?:\\x[0-9a-f]{2}|[^'\\])*)')\s*$/i;

/**
 * Reads `COPY (query) TO STDOUT` in text format, in CSV with the options DELIMITER, QUOTE, NULL and ENCODING, or in binary format, where
 * it is right for text columns only: their binary form is their text.
 *
 * @throws TypeError for any other form.
 */
export function parseCopyOut(sql: string): CopyOut {
  const match = COPY_QUERY.exec(sql);
  const [, query = '', optionText = ''] = match ?? [];
  const options = readOptions(optionText);
  if (match === null || options === undefined) throw new TypeError('this driver copies out queries only, as text or CSV');
  const format = options.get('FORMAT')?.toLowerCase();
  if (format === 'binary') return { query, opening: BINARY_OPENING, formatRow: formatBinaryRow, closing: BINARY_CLOSING };
  return { query, opening: NOTHING, formatRow: format === 'csv' ? createCsvFormat(options) : formatTextRow, closing: NOTHING };
}

/** Commas inside of values do not occur in the options of this package. */
function readOptions(text: string): ReadonlyMap<string, string> | undefined {
  const options = new Map<string, string>();
  for (const part of text.trim() === '' ? [] : text.split(',')) {
    const { name, word, escape, text: quoted = '' } = COPY_OPTION.exec(part)?.groups ?? {};
    if (name === undefined) return undefined;
    const unescape = (value: string): string =>
      value.replaceAll(/\\x([0-9a-f]{2})/gi, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
    options.set(name.toUpperCase(), word ?? (escape === '' ? quoted : unescape(quoted)));
  }
  const isKnown = [...options.keys()].every((name) => ['FORMAT', 'DELIMITER', 'QUOTE', 'NULL', 'ENCODING'].includes(name));
  const format = options.get('FORMAT')?.toLowerCase() ?? 'text';
  const isSupported =
    format === 'csv' || (format === 'binary' && options.size === 1) || (format === 'text' && options.size === 0);
  return isKnown && isSupported ? options : undefined;
}

const NOTHING = Buffer.alloc(0);
/** Signature, no flags, no extension. */
const BINARY_OPENING = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), formatInteger(0, 4), formatInteger(0, 4)]);
const BINARY_CLOSING = formatInteger(-1, 2);

function formatInteger(value: number, byteCount: number): Buffer {
  const bytes = Buffer.alloc(byteCount);
  bytes.writeIntBE(value, 0, byteCount);
  return bytes;
}

function formatBinaryRow(values: readonly (Buffer | null)[]): Buffer {
  const fields = values.flatMap((value) =>
    value === null ? [formatInteger(-1, 4)] : [formatInteger(value.byteLength, 4), value],
  );
  return Buffer.concat([formatInteger(values.length, 2), ...fields]);
}

const NEWLINE = Buffer.from('\n');
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

function createCsvFormat(options: ReadonlyMap<string, string>): CopyOut['formatRow'] {
  const delimiter = Buffer.from(options.get('DELIMITER') ?? ',');
  const quote = Buffer.from(options.get('QUOTE') ?? '"');
  const nullText = Buffer.from(options.get('NULL') ?? '');
  const needsQuotes = (value: Buffer): boolean =>
    value.equals(nullText) || [delimiter, quote, LINE_FEED, CARRIAGE_RETURN].some((part) => value.includes(part));
  const formatValue = (value: Buffer): Buffer => {
    if (!needsQuotes(value)) return value;
    const quoteText = quote.toString('latin1');
    return Buffer.from(
      `${quoteText}${value.toString('latin1').replaceAll(quoteText, quoteText + quoteText)}${quoteText}`,
      'latin1',
    );
  };
  return (values) => joinRow(values, delimiter, (value) => (value === null ? nullText : formatValue(value)));
}

const TAB = Buffer.from('\t');
const TEXT_NULL = Buffer.from('\\N');
const TEXT_ESCAPES: ReadonlyMap<string, string> = new Map([
  ['\\', '\\\\'],
  ['\b', '\\b'],
  ['\f', '\\f'],
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t'],
  ['\v', '\\v'],
]);

function formatTextRow(values: readonly (Buffer | null)[]): Buffer {
  const escape = (value: Buffer): Buffer =>
    Buffer.from(
      value.toString('latin1').replaceAll(/[\\\b\f\n\r\t\v]/g, (character) => TEXT_ESCAPES.get(character) ?? character),
      'latin1',
    );
  return joinRow(values, TAB, (value) => (value === null ? TEXT_NULL : escape(value)));
}

function joinRow(values: readonly (Buffer | null)[], delimiter: Buffer, format: (value: Buffer | null) => Buffer): Buffer {
  const parts = values.flatMap((value, index) => (index === 0 ? [format(value)] : [delimiter, format(value)]));
  return Buffer.concat([...parts, NEWLINE]);
}
