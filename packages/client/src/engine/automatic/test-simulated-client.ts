import { SyncError } from '@oversync/protocol';

import type { LoopAttachResult, LoopOperations, LoopPending, LoopProgress, WatchStream } from './loop-operations.ts';

type Pull = Awaited<ReturnType<LoopOperations['pull']>>;
type Push = Awaited<ReturnType<LoopOperations['push']>>;

/** How one request of the simulated client goes: at once with a value, with an error, or never. */
export type Script<T> = { readonly value: T } | { readonly error: SyncError } | 'hang';

/** A watch stream that the test feeds. */
export class SimulatedStream implements WatchStream {
  readonly #hints: ('hint' | 'end' | SyncError)[] = [];
  #wake: (() => void) | null = null;
  isClosed = false;

  hint(): void {
    this.#add('hint');
  }

  end(): void {
    this.#add('end');
  }

  break(error: SyncError): void {
    this.#add(error);
  }

  async next(): Promise<{ readonly bundleSeq: bigint } | null> {
    while (this.#hints.length === 0 && !this.isClosed) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const hint = this.#hints.shift() ?? new SyncError('aborted');
    if (hint === 'end') return null;
    if (hint === 'hint') return { bundleSeq: 1n };
    throw hint;
  }

  close(): void {
    this.isClosed = true;
    this.#wake?.();
  }

  #add(hint: 'hint' | 'end' | SyncError): void {
    this.#hints.push(hint);
    this.#wake?.();
  }
}

/** Simulated implementation of the port between loop and client. It counts what the loop asks for, and answers as scripted. */
export class SimulatedClient implements LoopOperations {
  connected = true;
  user: string | null = null;
  pending: LoopPending = { pendingRowCount: 0, quarantinedRowCount: 0 };
  /** Answers in order; afterwards every push commits the rows that were pending when it began. */
  readonly pushes: Script<Push>[] = [];
  readonly pulls: Script<Pull>[] = [];
  readonly attaches: Script<LoopAttachResult>[] = [];
  readonly rebuilds: Script<undefined>[] = [];
  /** Answers in order; afterwards a stream of `openStreams` opens. */
  readonly watches: Script<SimulatedStream | null>[] = [];
  readonly openStreams: SimulatedStream[] = [];
  readonly calls: string[] = [];
  /** Operations under way. */
  readonly running: string[] = [];
  /** Most operations of one kind that ever ran at once. */
  mostAtOnce = 0;
  /** Newest bundle of the server, and the newest one that a pull has brought. */
  serverHead = 0;
  pulledHead = 0;
  readonly #attachmentListeners = new Set<(change: 'attached' | 'detached') => void>();
  readonly #progressListeners = new Set<(progress: LoopProgress | null) => void>();
  readonly #writeListeners = new Set<() => void>();
  readonly #hanging = new Set<PromiseWithResolvers<'released'>>();

  onProgress(listener: (progress: LoopProgress | null) => void): () => void {
    this.#progressListeners.add(listener);
    return () => this.#progressListeners.delete(listener);
  }

  report(progress: LoopProgress | null): void {
    for (const listener of this.#progressListeners) listener(progress);
  }

  isConnected(): boolean {
    return this.connected;
  }

  lastUserId(): string | null {
    return this.user;
  }

  onAttachment(listener: (change: 'attached' | 'detached') => void): () => void {
    this.#attachmentListeners.add(listener);
    return () => this.#attachmentListeners.delete(listener);
  }

  onLocalWrite(listener: () => void): () => void {
    this.#writeListeners.add(listener);
    return () => this.#writeListeners.delete(listener);
  }

  get listenerCount(): number {
    return this.#attachmentListeners.size + this.#writeListeners.size;
  }

  /** The application writes one row. */
  write(): void {
    this.setPending(this.pending.pendingRowCount + 1);
    for (const listener of this.#writeListeners) listener();
  }

  setPending(pendingRowCount: number): void {
    this.pending = { ...this.pending, pendingRowCount };
  }

  /** The application calls attach or detach itself. */
  changeAttachment(change: 'attached' | 'detached'): void {
    this.connected = change === 'attached';
    for (const listener of this.#attachmentListeners) listener(change);
  }

  async attach(userId: string, signal: AbortSignal): Promise<LoopAttachResult> {
    const result = await this.#answer<LoopAttachResult>(`attach ${userId}`, this.attaches, { status: 'connected' }, signal);
    if (result.status === 'connected') this.connected = true;
    return result;
  }

  async rebuild(signal: AbortSignal): Promise<void> {
    await this.#answer('rebuild', this.rebuilds, undefined, signal);
  }

  async push(signal: AbortSignal): Promise<Push> {
    const frozenRowCount = this.pending.pendingRowCount;
    const result = await this.#answer('push', this.pushes, { hasCommitted: true }, signal);
    if (result.hasCommitted) this.setPending(this.pending.pendingRowCount - frozenRowCount);
    return result;
  }

  /** Another device commits a bundle. */
  commitElsewhere(): void {
    this.serverHead += 1;
    this.openStreams.at(-1)?.hint();
  }

  async pull(signal: AbortSignal): Promise<Pull> {
    const head = this.serverHead;
    const result = await this.#answer('pull', this.pulls, { hasContested: false, isDeferred: false }, signal);
    this.pulledHead = Math.max(this.pulledHead, head);
    return result;
  }

  readPending(): Promise<LoopPending> {
    return Promise.resolve(this.pending);
  }

  async openWatch(signal: AbortSignal): Promise<WatchStream | null> {
    const stream = await this.#answer<SimulatedStream | null>('watch', this.watches, new SimulatedStream(), signal);
    if (stream !== null) {
      this.openStreams.push(stream);
      if (this.pulledHead < this.serverHead) stream.hint();
      signal.addEventListener('abort', () => stream.close());
    }
    return stream;
  }

  /** The next operation of this kind does not end by itself. */
  hang(what: 'push' | 'pull' | 'rebuild'): void {
    ({ push: this.pushes, pull: this.pulls, rebuild: this.rebuilds })[what].push('hang');
  }

  /** What hangs succeeds. */
  release(): void {
    for (const hanging of this.#hanging) hanging.resolve('released');
  }

  /** From now on everything goes well; what hangs fails. */
  healed(): void {
    for (const scripts of [this.pushes, this.pulls, this.attaches, this.rebuilds, this.watches]) scripts.length = 0;
    for (const hanging of this.#hanging) hanging.reject(new SyncError('timeout'));
  }

  /** How often the loop asked for an operation. */
  count(call: string): number {
    return this.calls.filter((name) => name === call).length;
  }

  async #answer<T>(call: string, scripts: Script<T>[], fallback: T, signal: AbortSignal): Promise<T> {
    this.calls.push(call);
    this.running.push(call);
    this.mostAtOnce = Math.max(this.mostAtOnce, this.running.filter((name) => name === call).length);
    try {
      const script = scripts.shift() ?? { value: fallback };
      if (script === 'hang') {
        await this.#hang(signal);
        return fallback;
      }
      await Promise.resolve();
      if ('error' in script) throw script.error;
      return script.value;
    } finally {
      this.running.splice(this.running.indexOf(call), 1);
    }
  }

  async #hang(signal: AbortSignal): Promise<void> {
    const hanging = Promise.withResolvers<'released'>();
    this.#hanging.add(hanging);
    signal.addEventListener('abort', () => hanging.reject(new SyncError('aborted')), { once: true });
    try {
      await hanging.promise;
    } finally {
      this.#hanging.delete(hanging);
    }
  }
}
