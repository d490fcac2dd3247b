/** What `pauseUploads`, `pauseDownloads` and their counterparts set. They concern the background loop only and are not stored. */
export class PauseFlags {
  readonly #listeners = new Set<() => void>();
  #areUploadsPaused = false;
  #areDownloadsPaused = false;

  get areUploadsPaused(): boolean {
    return this.#areUploadsPaused;
  }

  get areDownloadsPaused(): boolean {
    return this.#areDownloadsPaused;
  }

  setUploadsPaused(isPaused: boolean): void {
    if (this.#areUploadsPaused === isPaused) return;
    this.#areUploadsPaused = isPaused;
    this.#notify();
  }

  setDownloadsPaused(isPaused: boolean): void {
    if (this.#areDownloadsPaused === isPaused) return;
    this.#areDownloadsPaused = isPaused;
    this.#notify();
  }

  /** Calls `listener` after every change. Returns the function that ends it. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }
}
