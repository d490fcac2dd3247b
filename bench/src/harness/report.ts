import type { Benchmark } from './benchmark.ts';
import type { Figure } from './measure.ts';
import type { Environment } from './versions.ts';

export interface Report {
  readonly benchmark: string;
  readonly title: string;
  readonly rows: number;
  readonly repetitions: number;
  readonly figures: readonly Figure[];
  readonly rssPeakBytes: Readonly<Record<string, number>>;
  readonly fileBytes: Readonly<Record<string, number>>;
  readonly facts: Readonly<Record<string, string>>;
  readonly environment: Environment;
}

export function makeReport(
  benchmark: Benchmark,
  settings: { readonly rows: number; readonly repetitions: number },
  figures: readonly Figure[],
  findings: Pick<Report, 'rssPeakBytes' | 'fileBytes' | 'facts'>,
  environment: Environment,
): Report {
  const { rows, repetitions } = settings;
  const { rssPeakBytes, fileBytes, facts } = findings;
  return {
    benchmark: benchmark.name,
    title: benchmark.title,
    rows,
    repetitions,
    figures,
    rssPeakBytes,
    fileBytes,
    facts,
    environment,
  };
}

/** The report as a table for people. */
export function formatReport(report: Report): string {
  const head = ['case', 'median ms', 'min', 'max', 'per second', 'x raw'];
  const lines = report.figures.map((figure) => [
    figure.name,
    formatMs(figure.medianMs),
    formatMs(figure.minMs),
    formatMs(figure.maxMs),
    `${Math.round(figure.unitsPerSecond).toLocaleString('en')} ${figure.unit}`,
    figure.isRaw ? 'raw' : figure.ratioToRaw.toFixed(2),
  ]);
  const { environment } = report;
  const memory = formatSizes(report.rssPeakBytes);
  const files = formatSizes(report.fileBytes);
  return [
    `${report.benchmark}: ${report.title}`,
    `${report.rows.toLocaleString('en')} rows, medians of ${report.repetitions} after a warm-up`,
    '',
    ...formatTable([head, ...lines]),
    '',
    ...(memory.length === 0 ? [] : [`peak resident memory: ${memory.join(', ')}`]),
    ...Object.entries(report.facts).map(([name, text]) => `${name}: ${text}`),
    ...(files.length === 0 ? [] : [`database files: ${files.join(', ')}`]),
    `Node ${environment.node}, SQLite ${environment.sqlite}, PostgreSQL ${environment.postgresql}, ` +
      `${environment.platform}, ${environment.cpuCount} × ${environment.cpuModel}`,
  ].join('\n');
}

function formatSizes(sizes: Readonly<Record<string, number>>): readonly string[] {
  return Object.entries(sizes).map(([name, bytes]) => `${name} ${Math.round(bytes / 2 ** 20)} MiB`);
}

function formatMs(ms: number): string {
  return ms < 10 ? ms.toFixed(2) : ms.toFixed(0);
}

function formatTable(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join('  '),
  );
}
