import { formatCount } from './progress.ts';
import type { StoryResult } from './story.ts';

/** Conflicts shown in the output. */
const SAMPLE_SIZE = 5;

/** Decisions of the conflict rule: how many, and the first few. */
export function formatConflicts(result: StoryResult, ruleText: string): string {
  const { conflicts } = result;
  if (conflicts.length === 0) return `Conflicts: none decided in this run (rule: ${ruleText})`;
  const lines = conflicts
    .slice(0, SAMPLE_SIZE)
    .map(
      (note) =>
        `  ${note.place.slice(0, 28).padEnd(28)}  here ${note.local.padEnd(26)}  there ${note.server.padEnd(26)}  → ${note.decision}`,
    );
  const rest = conflicts.length > SAMPLE_SIZE ? [`  … and ${conflicts.length - SAMPLE_SIZE} more`] : [];
  return [`Conflicts: ${conflicts.length}, decided by the rule: ${ruleText}`, ...lines, ...rest].join('\n');
}

/** The figures of all steps. */
export function formatFigures(result: StoryResult): string {
  const rows = result.figures.map(({ title, rows: count, ms }) => [
    title,
    formatCount(count),
    (ms / 1000).toFixed(2),
    count === 0 ? '' : formatCount((count / ms) * 1000),
  ]);
  return formatTable([['step', 'rows', 'seconds', 'rows/s'], ...rows]);
}

/** The proof: one digest per copy. */
export function formatProof(result: StoryResult): string {
  const rows = result.dumps.map(({ where, dump }) => [where, formatCount(dump.rowCount), dump.sha256]);
  const verdict = result.isEqual
    ? 'PROVED: all copies are equal to each other and to what the edits must give.'
    : 'FAILED: the copies differ.';
  return [formatTable([['copy', 'rows', 'SHA-256 of the canonical dump'], ...rows]), '', verdict].join('\n');
}

function formatTable(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const format = (row: readonly string[]): string =>
    `  ${row.map((cell, column) => (column === 0 || cell.length === 64 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join('  ')}`.trimEnd();
  const [head = [], ...body] = rows;
  return [format(head), `  ${widths.map((width) => '─'.repeat(width)).join('  ')}`, ...body.map(format)].join('\n');
}
