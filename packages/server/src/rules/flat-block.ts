/**
 * The rows of a stored block whose payloads hold nothing nested: texts, booleans and nulls only. Their members are taken out of the text
 * as they stand there, which is canonical already; only their order differs from that of the hashed forms.
 *
 * Inside a JSON string every quote follows a backslash, so none of the marks below can stand in a value.
 */
const ROW_START = '{"schema":';
const NEXT_ROW = `,${ROW_START}`;
const KEY_MEMBER = ',"key":';
const VERSION_MEMBER = ',"row_version":';
const PAYLOAD_MEMBER = ',"payload":';

/** Parts of one row as they stand in its wire text. */
export interface FlatRow {
  /** The members schema and table. */
  readonly names: string;
  /** The members key and op. */
  readonly head: string;
  /** The object, or `null` for a deleted row. */
  readonly payload: string;
}

/**
 * The rows of a block, all of which have the version `bundleSeq`.
 *
 * @throws TypeError for a text of another form.
 */
export function* readFlatBlock(block: string, bundleSeq: string): Generator<FlatRow> {
  const version = VERSION_MEMBER + bundleSeq;
  for (let start = 0; start < block.length;) {
    if (!block.startsWith(ROW_START, start)) throw damaged();
    const next = block.indexOf(NEXT_ROW, start);
    const end = next < 0 ? block.length : next;
    const keyAt = block.indexOf(KEY_MEMBER, start);
    const versionAt = block.indexOf(version, keyAt);
    if (keyAt < 0 || versionAt < 0 || versionAt > end) throw damaged();
    yield {
      names: block.slice(start + 1, keyAt),
      head: block.slice(keyAt + 1, versionAt),
      payload: readPayload(block, versionAt + version.length, end),
    };
    start = end + 1;
  }
}

function readPayload(block: string, start: number, end: number): string {
  if (!block.endsWith('}', end)) throw damaged();
  if (block.startsWith(PAYLOAD_MEMBER, start)) return block.slice(start + PAYLOAD_MEMBER.length, end - 1);
  if (start !== end - 1) throw damaged();
  return 'null';
}

function damaged(): TypeError {
  return new TypeError('a stored block is not a list of flat rows');
}

/** The text of `committedRowText`. */
export function formatCommittedRow({ names, head, payload }: FlatRow, rowOrdinal: number, bundleSeq: string): string {
  return `{${head},"payload":${payload},"row_ordinal":"${rowOrdinal}","row_version":"${bundleSeq}",${names}}`;
}

/** The text of `requestRowText` with base version 0. */
export function formatRequestRow({ names, head, payload }: FlatRow, rowOrdinal: number): string {
  return `{"base_row_version":"0",${head},"payload":${payload},"row_ordinal":"${rowOrdinal}",${names}}`;
}
