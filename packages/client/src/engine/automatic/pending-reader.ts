import type { LoopOperations, LoopPending } from './loop-operations.ts';
import type { StatusBoard } from './status-board.ts';

const NOTHING: LoopPending = { pendingRowCount: 0, quarantinedRowCount: 0 };

/** Reads the pending counts for the status; a burst of writes costs one read at a time. */
export class PendingReader {
  readonly #operations: LoopOperations;
  readonly #board: StatusBoard;
  #running: Promise<void> | null = null;
  #isWantedAgain = false;
  #isClosed = false;

  constructor(operations: LoopOperations, board: StatusBoard) {
    this.#operations = operations;
    this.#board = board;
  }

  /** Reads, shows and returns the counts. */
  async read(): Promise<LoopPending> {
    const { pendingRowCount, quarantinedRowCount } = await this.#operations.readPending();
    const pending = { pendingRowCount, quarantinedRowCount };
    if (!this.#isClosed) this.#board.update(pending);
    return pending;
  }

  /** The same in the background. A failed read shows nothing new; whoever needs the counts will meet the fault. */
  refresh(): void {
    if (this.#isClosed) return;
    if (this.#running !== null) {
      this.#isWantedAgain = true;
      return;
    }
    this.#running = this.read()
      .catch(() => NOTHING)
      .then(() => {
        this.#running = null;
        if (!this.#isWantedAgain) return;
        this.#isWantedAgain = false;
        this.refresh();
      });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#running;
  }
}
