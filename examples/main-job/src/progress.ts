import { SingleBar } from 'cli-progress';

/** Shows how far one step is. */
export interface StepProgress {
  /** Rows done so far; `total` when it is known better than at the start. */
  update(rowsDone: number, total?: number): void;
  /** Replaces the bar by one line. */
  end(rows: number, ms: number): void;
  /** Leaves the bar as it is, because the step failed or was interrupted. */
  abandon(): void;
}

export type StartProgress = (title: string, total: number) => StepProgress;

const TITLE_WIDTH = 44;

/** Bars on a terminal, one plain line per step elsewhere. */
export function createProgress(out: NodeJS.WriteStream): StartProgress {
  return (title, total) => {
    const bar = out.isTTY ? startBar(out, title, total) : undefined;
    return {
      update(rowsDone, newTotal) {
        if (newTotal !== undefined) bar?.setTotal(newTotal);
        bar?.update(rowsDone);
      },
      end(rows, ms) {
        bar?.stop();
        out.write(`  ✓ ${formatStep(title, rows, ms)}\n`);
      },
      abandon() {
        bar?.stop();
      },
    };
  };
}

function startBar(out: NodeJS.WriteStream, title: string, total: number): SingleBar {
  const bar = new SingleBar({
    format: `  {bar} ${title}  {value}/{total} rows  {duration_formatted}`,
    barsize: 24,
    hideCursor: true,
    clearOnComplete: true,
    linewrap: false,
    stream: out,
  });
  bar.start(total, 0);
  return bar;
}

function formatStep(title: string, rows: number, ms: number): string {
  const rate = rows === 0 ? '' : `${formatCount((rows / ms) * 1000).padStart(9)} rows/s`;
  return `${title.padEnd(TITLE_WIDTH)}${formatCount(rows).padStart(8)} rows ${(ms / 1000).toFixed(2).padStart(7)} s ${rate}`.trimEnd();
}

export function formatCount(count: number): string {
  return Math.round(count).toLocaleString('en');
}
