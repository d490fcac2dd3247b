/** Space, comments, strings and quoted names, parameters, words, or any other single character. */
const TOKEN =
  /\s+|--[^\n]*|\/\*(?:[^*]|\*(?!\/))*(?:\*\/|$)|'(?:[^']|'')*(?:'|$)|"(?:[^"]|"")*(?:"|$)|`(?:[^`]|``)*(?:`|$)|\[[^\]]*(?:\]|$)|\?\d*|[:@$#][\p{L}\p{N}_$]+|[\p{L}_][\p{L}\p{N}_$]*|./gsu;

const PARAMETER = /^(?:\?\d*|[:@$#][\p{L}\p{N}_$]+)$/u;

/** The text in pieces that SQLite reads as one each; together they are the text. */
export function sqlTokens(sql: string): readonly string[] {
  return sql.match(TOKEN) ?? [];
}

/** The text with its parameters replaced; `index` counts them from 0 in the order of the text. */
export function replaceParameters(sql: string, replace: (parameter: string, index: number) => string): string {
  let index = -1;
  return sqlTokens(sql)
    .map((token) => {
      if (!PARAMETER.test(token)) return token;
      index += 1;
      return replace(token, index);
    })
    .join('');
}
