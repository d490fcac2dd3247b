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
    this.#process.once('close', () => {
      this.#hasEnded = true;
      this.#wake();
    });
  }

  /** Next message; `undefined` when the process has ended. */
  async next(): Promise<Message | undefined> {
    while (this.#messages.length === 0 && !this.#hasEnded) {
      await new Promise<void>((wake) => {
        this.#wake = wake;
      });
    }
    return this.#messages.shift();
  }

  /** SIGKILL: no handler, no tidying, no flush. Resolves when the process is gone. */
  async kill(): Promise<void> {
    if (this.#hasEnded) return;
    const closed = once(this.#process, 'close');
    this.#process.kill('SIGKILL');
    await closed;
  }
}
