import { sqlTokens } from './sql-tokens.ts';

const SPACE = /^(?:\s|--|\/\*)/;

/**
 * The statements of a script, one by one, without the semicolons at their ends. The body of a trigger belongs to its statement: it ends at
 * `; END` as SQLite's own `sqlite3_complete` has it. Comments before a statement stay with it; a rest of comments only is no statement.
 */
export function splitStatements(script: string): readonly string[] {
  const statements: string[] = [];
  let scan = emptyScan();
  for (const token of sqlTokens(script)) {
    if (token === ';' && !isInsideTrigger(scan)) {
      if (scan.words > 0) statements.push(scan.text.trim());
      scan = emptyScan();
    } else {
      addToken(scan, token);
    }
  }
  if (scan.words > 0) statements.push(scan.text.trim());
  return statements;
}

interface Scan {
  text: string;
  /** Tokens that are neither space nor comment. */
  words: number;
  isTrigger: boolean;
  /** The last tokens that matter, in upper case. */
  last: string;
  beforeLast: string;
}

function emptyScan(): Scan {
  return { text: '', words: 0, isTrigger: false, last: '', beforeLast: '' };
}

function addToken(scan: Scan, token: string): void {
  scan.text += token;
  if (SPACE.test(token)) return;
  const word = token.toUpperCase();
  if (isTriggerStart(scan, word)) scan.isTrigger = true;
  scan.words += 1;
  scan.beforeLast = scan.last;
  scan.last = word;
}

/** `CREATE [TEMP | TEMPORARY] TRIGGER`, also after EXPLAIN [QUERY PLAN]. */
function isTriggerStart(scan: Scan, word: string): boolean {
  if (word !== 'TRIGGER') return false;
  const isTemporary = scan.last === 'TEMP' || scan.last === 'TEMPORARY';
  return scan.last === 'CREATE' || (isTemporary && scan.beforeLast === 'CREATE');
}

function isInsideTrigger(scan: Scan): boolean {
  return scan.isTrigger && !(scan.last === 'END' && scan.beforeLast === ';');
}
