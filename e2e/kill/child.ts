import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** A process to be killed. */
export class Victim<Message> {
  readonly #process: ChildProcess;
  readonly #messages: Message[] = [];
  #wake: () => void = () => undefined;
  #hasEnded = false;

  constructor(module: string, argument: unknown) {
    const path = fileURLToPath(new URL(`./${module}`, import.meta.url));
    this.#process = fork(path, [JSON.stringify(argument)], {
      execArgv: ['--conditions=oversync-source'],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#process.on('message', (message) => {
      this.#messages.push(message as Message);
      this.#wake();
    });
    // The exit may be seen before the last message: the process has ended when its channel has as well.
    const exited = once(this.#process, 'close');
    const disconnected = once(this.#process, 'disconnect');
    void Promise.all([exited, disconnected]).then(() => {
      this.#hasEnded = true;
      this.#wake();
    });
  }

  /** Next message; `undefined` when the process has ended. One call at a time; its answer must not be dropped. */
  async next(): Promise<Message | undefined> {
    while (this.#messages.length === 0 && !this.#hasEnded) {
      await new Promise<void>((wake) => {
        this.#wake = wake;
      });
    }
    return this.#messages.shift();
  }

  /** How it ended; for a message to people. */
  get ending(): string {
    return `exit code ${this.#process.exitCode ?? 'none'}, signal ${this.#process.signalCode ?? 'none'}`;
  }

  /** SIGKILL: no handler, no tidying, no flush. Resolves when the process is gone. */
  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exited = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await exited;
  }
}
