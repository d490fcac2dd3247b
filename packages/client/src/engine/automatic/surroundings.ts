import type { Clock } from '../../ports/clock.ts';
import type { Connectivity } from '../../ports/connectivity.ts';
import type { Visibility } from '../../ports/visibility.ts';
import type { Surroundings } from '../../rules/loop-gate.ts';
import type { LoopOptions } from '../../rules/loop-options.ts';
import type { PauseFlags } from './pause-flags.ts';

export interface SurroundingsPorts {
  readonly clock: Clock;
  readonly connectivity: Connectivity;
  readonly visibility: Visibility;
  readonly pauses: PauseFlags;
}

/** Watches network, visibility and pauses. A timer runs only in the grace period after hiding. */
export class SurroundingsWatcher {
  readonly #ports: SurroundingsPorts;
  readonly #options: Pick<LoopOptions, 'pauseWhenHidden' | 'hiddenGraceMs'>;
  readonly #onChange: () => void;
  readonly #subscriptions: (() => void)[];
  #isGraceOver = false;
  #cancelGrace: (() => void) | null = null;
  #holders = 0;

  constructor(ports: SurroundingsPorts, options: Pick<LoopOptions, 'pauseWhenHidden' | 'hiddenGraceMs'>, onChange: () => void) {
    this.#ports = ports;
    this.#options = options;
    this.#onChange = onChange;
    this.#subscriptions = [
      ports.connectivity.subscribe(onChange),
      ports.pauses.subscribe(onChange),
      ports.visibility.subscribe(() => this.#visibilityChanged()),
    ];
    this.#followVisibility();
  }

  read(isReady: boolean): Surroundings {
    const { connectivity, pauses } = this.#ports;
    return {
      isOnline: connectivity.isOnline(),
      isAwake: !this.#isGraceOver,
      areUploadsPaused: pauses.areUploadsPaused,
      areDownloadsPaused: pauses.areDownloadsPaused,
      isHeld: this.#holders > 0,
      isReady,
    };
  }

  /** Keeps everything still until the returned function is called. */
  hold(): () => void {
    this.#holders += 1;
    this.#onChange();
    let isHolding = true;
    return () => {
      if (!isHolding) return;
      isHolding = false;
      this.#holders -= 1;
      this.#onChange();
    };
  }

  close(): void {
    for (const unsubscribe of this.#subscriptions) unsubscribe();
    this.#cancelGrace?.();
    this.#cancelGrace = null;
  }

  #visibilityChanged(): void {
    this.#followVisibility();
    this.#onChange();
  }

  #followVisibility(): void {
    if (!this.#options.pauseWhenHidden || this.#ports.visibility.isVisible()) {
      this.#cancelGrace?.();
      this.#cancelGrace = null;
      this.#isGraceOver = false;
    } else if (this.#cancelGrace === null && !this.#isGraceOver) {
      this.#cancelGrace = this.#ports.clock.startTimer(this.#options.hiddenGraceMs, () => this.#graceOver());
    }
  }

  #graceOver(): void {
    this.#cancelGrace = null;
    this.#isGraceOver = true;
    this.#onChange();
  }
}
