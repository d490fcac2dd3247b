import { rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';

/** A process that looks whether it is alone does so within a few calls. */
const BUSY_TIMEOUT_MS = 5000;

/**
 * Counts the living users of a database file whose own locks outlive a crash: each holds a shared lock on a side file, which the operating
 * system releases when the process dies. Whoever can take the lock alone knows that no other user lives.
 */
export class DatabaseUsers {
  readonly #sideFile: DatabaseSync;
  #hasJoined = false;

  constructor(databaseFile: string) {
    this.#sideFile = new DatabaseSync(`${databaseFile}-oversync-users`);
  }

  /** Counts as a user until `leave`. */
  join(): void {
    this.#sideFile.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}; BEGIN`);
    this.#sideFile.prepare('SELECT count(*) FROM sqlite_schema').get();
    this.#hasJoined = true;
  }

  /** Runs `work` if nobody else uses the database, and tells whether. Nobody can join meanwhile. */
  whenAlone(work: () => void): boolean {
    const isMember = this.#hasJoined;
    if (isMember) this.#sideFile.exec('ROLLBACK');
    try {
      this.#sideFile.exec('PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE');
      work();
      return true;
    } catch (error) {
      if (this.#sideFile.isTransaction || !isBusy(error)) throw error;
      return false;
    } finally {
      if (this.#sideFile.isTransaction) this.#sideFile.exec('ROLLBACK');
      if (isMember) this.join();
    }
  }

  leave(): void {
    if (this.#sideFile.isOpen) this.#sideFile.close();
  }
}

/** Removes the lock that a crashed process has left. Must only be called while nobody uses the database. */
export function removeLockFolder(databaseFile: string): void {
  rmSync(`${databaseFile}.lock`, { recursive: true, force: true });
}

const SQLITE_BUSY = 5;

function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY;
}
