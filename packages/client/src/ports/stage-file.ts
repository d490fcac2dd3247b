/**
 * A file of its own for a snapshot while it is staged: beside the database, used by the one client that owns the database, worth nothing
 * once the snapshot has been applied.
 */
export interface StageFile {
  /** What `ATTACH` takes. */
  readonly path: string;
  /** Deletes the file and what SQLite keeps beside it, as far as they exist. Nothing has it open. */
  remove(): Promise<void>;
}
