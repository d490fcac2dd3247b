import type { LocalColumn } from './local-schema.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Cuts the value texts out of a captured payload without parsing it: SQLite writes the members in table order, compact, and every
 * value is a string or `null`. Any other shape gives `null` and has to be read exactly.
 */
export function sliceCaptured(payload: string, columns: readonly LocalColumn[], prefixes: readonly string[]): string[] | null {
  const slices: string[] = [];
  let at = 0;
  for (let index = 0; index < columns.length; index += 1) {
    const prefix = prefixes[index] ?? '';
    if (!payload.startsWith(prefix, at)) return null;
    at += prefix.length;
    const end = scalarEnd(payload, at);
    if (end < 0) return null;
    slices.push(payload.slice(at, end));
    at = end;
  }
  return at === payload.length - 1 && payload.endsWith('}') ? slices : null;
}

/** What stands before each value of a captured payload. */
export function capturedPrefixes(columns: readonly LocalColumn[]): readonly string[] {
  return columns.map((column, index) => `${index === 0 ? '{' : ','}${JSON.stringify(column.wireName)}:`);
}

function scalarEnd(text: string, start: number): number {
  if (text.charCodeAt(start) === QUOTE) return stringEnd(text, start);
  return text.startsWith('null', start) ? start + 4 : -1;
}

/** Index after the string that starts at `start`, or −1 when it has no end. */
export function stringEnd(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  while (end > 0 && text.charCodeAt(end - 1) === BACKSLASH && isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end + 1 || -1;
}

function isEscaped(text: string, quote: number): boolean {
  let first = quote;
  while (text.charCodeAt(first - 1) === BACKSLASH) first -= 1;
  return (quote - first) % 2 === 1;
}
