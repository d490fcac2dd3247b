/** Options of the background loop, all resolved (client.md 9.2). Durations are milliseconds. */
export interface LoopOptions {
  /** Pause between two pulls when no watch stream is open. */
  readonly automaticDownloadIntervalMs: number;
  /** `auto`: a watch stream instead of the interval where the server offers one. */
  readonly bundleChangeWatchMode: 'off' | 'auto';
  readonly bundleChangeWatchReconnectMinMs: number;
  readonly bundleChangeWatchReconnectMaxMs: number;
  readonly pauseWhenHidden: boolean;
  /** How long the application may be hidden before the loop rests. */
  readonly hiddenGraceMs: number;
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
  /** Random share added to a back-off or reconnect delay, 0 to 1. */
  readonly backoffJitterRatio: number;
  /** Quiet time after a local write before it is uploaded. */
  readonly uploadDebounceMs: number;
  /** Longest time that steady writing can put an upload off. */
  readonly uploadMaxDelayMs: number;
  /** The loop attaches this user itself; without it, it waits for an explicit `attach`. */
  readonly userId: string | null;
  /** What becomes of unsent local rows when the loop attaches and the server has rows already; as the option of `attach`. */
  readonly localData: 'replace' | 'merge';
  /** Answer recovery states with a rebuild or a new attach. */
  readonly autoRecover: boolean;
}
