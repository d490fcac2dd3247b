/**
 * Looks at SQL text that a write callback wants to run: how many statements it holds, and whether one of them belongs to the library.
 * Only the first word of a statement decides; quotes, dollar quotes and comments are skipped, so their contents never count.
 */

/** First words that a callback may not use, with what is wrong about them. */
const FORBIDDEN: ReadonlyMap<string, string> = new Map([
  ...['BEGIN', 'START', 'COMMIT', 'END', 'ROLLBACK', 'ABORT', 'SAVEPOINT', 'RELEASE'].map(
    (word) => [word, `${word}: the transaction belongs to the library`] as const,
  ),
  ...['SET', 'RESET', 'DISCARD'].map((word) => [word, `${word}: the settings of the transaction belong to the library`] as const),
  ...['PREPARE', 'DEALLOCATE', 'LISTEN', 'UNLISTEN'].map(
    (word) => [word, `${word}: state of the connection would outlive the transaction`] as const,
  ),
]);

/** What the guard found out about one SQL text. */
export interface InspectedSql {
  /** First word of each statement, in upper case; '' for one that starts with something else than a word. */
  readonly words: readonly string[];
  /** What is wrong with the first statement that a callback may not run. */
  readonly fault: string | undefined;
}

export function inspectSql(sql: string): InspectedSql {
  const words = listFirstWords(sql);
  const refused = words.find((word) => FORBIDDEN.has(word));
  return { words, fault: refused === undefined ? undefined : FORBIDDEN.get(refused) };
}

/**
 * One piece of SQL text: white space, comment (block comments are closed by {@link skipBlockComment}), string with backslashes, string,
 * quoted name, opening of a dollar quote, word (which may hold `$`; every character beyond ASCII is a letter to PostgreSQL), number, anything else.
 */
const PIECE = new RegExp(
  [
    String.raw`(?<blank>[ \t\n\r\f\v]+|--[^\n\r]*)`,
    String.raw`(?<block>\/\*)`,
    String.raw`[eE]'(?:\\[^]|''|[^'\\])*'|'(?:''|[^'])*'|"(?:""|[^"])*"`,
    String.raw`(?<dollar>\$(?:[A-Za-z_\u{80}-\u{10FFFF}][A-Za-z0-9_\u{80}-\u{10FFFF}]*)?\$)`,
    String.raw`(?<word>[A-Za-z_\u{80}-\u{10FFFF}][A-Za-z0-9_$\u{80}-\u{10FFFF}]*)`,
    String.raw`[0-9][A-Za-z0-9_.\u{80}-\u{10FFFF}]*`,
    String.raw`(?<end>;)`,
    String.raw`[^]`,
  ].join('|'),
  'uy',
);

function listFirstWords(sql: string): readonly string[] {
  return listStatements(sql).map((statement) => statement.word);
}

/** The statements of an SQL text, without the semicolons between them. */
export function splitStatements(sql: string): readonly string[] {
  return listStatements(sql).map(({ start, end }) => sql.slice(start, end));
}

interface StatementRange {
  readonly word: string;
  readonly start: number;
  end: number;
}

function listStatements(sql: string): readonly StatementRange[] {
  const statements: StatementRange[] = [];
  let isInside = false;
  let position = 0;
  while (position < sql.length) {
    PIECE.lastIndex = position;
    const match = PIECE.exec(sql);
    if (match === null) break;
    const { blank, block, dollar, word, end } = match.groups ?? {};
    const start = position;
    position = PIECE.lastIndex;
    if (block !== undefined) position = skipBlockComment(sql, position);
    if (blank !== undefined || block !== undefined) continue;
    if (dollar !== undefined) position = skipDollarQuote(sql, position, dollar);
    const current = isInside ? statements.at(-1) : undefined;
    if (end !== undefined) isInside = false;
    else if (current !== undefined) current.end = position;
    else {
      statements.push({ word: (word ?? '').toUpperCase(), start, end: position });
      isInside = true;
    }
  }
  return statements;
}

/** Block comments nest. One that is never closed swallows the rest, as PostgreSQL would refuse it. */
function skipBlockComment(sql: string, from: number): number {
  const bounds = /\/\*|\*\//g;
  bounds.lastIndex = from;
  for (let depth = 1; depth > 0;) {
    const match = bounds.exec(sql);
    if (match === null) return sql.length;
    depth += match[0] === '/*' ? 1 : -1;
  }
  return bounds.lastIndex;
}

function skipDollarQuote(sql: string, from: number, tag: string): number {
  const end = sql.indexOf(tag, from);
  return end === -1 ? sql.length : end + tag.length;
}
