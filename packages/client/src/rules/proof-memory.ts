import { PROOFS_SKIPPED_MAX } from '../limits.ts';
import type { LocalTable } from './local-schema.ts';
import { ServedForm } from './served-form.ts';

/**
 * What a client remembers, in memory, about proving its own bundles by their hash: how the server spells the rows of each table, and how
 * often the proof has failed of late. Where a server changes rows in every push the proof is tried ever less often.
 */
export class ProofMemory {
  readonly #forms = new WeakMap<LocalTable, ServedForm>();
  #misses = 0;
  #toSkip = 0;

  /** Of this description of the table: after a change of the table a new one is asked about. */
  formOf(table: LocalTable): ServedForm {
    const known = this.#forms.get(table);
    if (known !== undefined) return known;
    const form = new ServedForm(table);
    this.#forms.set(table, form);
    return form;
  }

  /** True when a proof is worth its reading now. To be asked once for each bundle. */
  isDue(): boolean {
    if (this.#toSkip === 0) return true;
    this.#toSkip -= 1;
    return false;
  }

  noteProved(): void {
    this.#misses = 0;
  }

  /** The first failure says little, each further one in a row doubles the pause. */
  noteMissed(): void {
    this.#toSkip = Math.min(2 ** this.#misses - 1, PROOFS_SKIPPED_MAX);
    this.#misses += 1;
  }

  /** A payload as it was served. Learning how it is spelled makes the next proof worth trying. */
  learn(table: LocalTable, served: string): void {
    if (!this.formOf(table).learn(served)) return;
    this.#misses = 0;
    this.#toSkip = 0;
  }
}
