/** Hears the lower-case names of the tables that one commit wrote. */
export type CommitListener = (tables: readonly string[]) => void;

/** Those who listen to the commits of a driver. */
export class CommitListeners {
  readonly #listeners = new Set<{ readonly listener: CommitListener }>();

  get isEmpty(): boolean {
    return this.#listeners.size === 0;
  }

  add(listener: CommitListener): () => void {
    const entry = { listener };
    this.#listeners.add(entry);
    return () => {
      this.#listeners.delete(entry);
    };
  }

  /** A listener that throws must not make a committed write look failed. */
  call(tables: readonly string[]): void {
    if (tables.length === 0) return;
    for (const { listener } of this.#listeners) {
      try {
        listener(tables);
      } catch {
        continue;
      }
    }
  }
}
