import { createFixedRandom, createVirtualClock } from '../../testing/virtual-clock.ts';
import type { VirtualClock } from '../../testing/virtual-clock.ts';
import { BackgroundLoop } from './loop.ts';
import { PauseFlags } from './pause-flags.ts';
import { resolveLoopOptions } from './resolve-loop-options.ts';
import type { AutomaticOptions } from './resolve-loop-options.ts';
import { SimulatedClient } from './test-simulated-client.ts';

/** A switch with listeners: the network, or the screen. */
export class Switch {
  #isOn = true;
  readonly #listeners = new Set<() => void>();

  readonly port = {
    isOnline: (): boolean => this.#isOn,
    isVisible: (): boolean => this.#isOn,
    subscribe: (listener: () => void): (() => void) => {
      this.#listeners.add(listener);
      return () => this.#listeners.delete(listener);
    },
  };

  get listenerCount(): number {
    return this.#listeners.size;
  }

  set(isOn: boolean): void {
    this.#isOn = isOn;
    for (const listener of this.#listeners) listener();
  }
}

/** A loop in a simulated world: virtual clock, no jitter, every operation scripted. */
export interface LoopWorld {
  readonly client: SimulatedClient;
  readonly clock: VirtualClock;
  readonly network: Switch;
  readonly screen: Switch;
  readonly pauses: PauseFlags;
  readonly start: (options?: AutomaticOptions) => Promise<BackgroundLoop>;
}

export function createLoopWorld(): LoopWorld {
  const client = new SimulatedClient();
  const clock = createVirtualClock();
  const network = new Switch();
  const screen = new Switch();
  const pauses = new PauseFlags();
  return {
    client,
    clock,
    network,
    screen,
    pauses,
    start: async (options = {}) => {
      const loop = new BackgroundLoop({
        operations: client,
        options: resolveLoopOptions(options),
        clock,
        random: createFixedRandom(),
        connectivity: network.port,
        visibility: screen.port,
        pauses,
      });
      await clock.settle();
      return loop;
    },
  };
}
