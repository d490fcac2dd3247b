import { checkNotAborted, nextTurn } from '../http/exchange.ts';
import type { Outbox } from '../store/client-state.ts';
import { CandidateHasher } from '../store/committed-candidate.ts';
import type { CommittedCandidate } from '../store/committed-candidate.ts';
import type { MatchedRun } from '../store/frozen-match.ts';
import type { Call } from './engine.ts';

type Frozen = Exclude<Outbox, { readonly state: 'none' }>;
type Committed = Extract<Outbox, { readonly state: 'committed_remote' }>;

/** A candidate that is being made for a sequence which may turn out to be another. */
interface Guess {
  readonly bundleSeq: bigint;
  readonly candidate: Promise<CommittedCandidate | null>;
}

/**
 * Shows without a request that the own bundle was committed as it was frozen: the hash of the commit covers every row of it, and is
 * compared with that of the outbox. Bundles of one committed-rows page are fetched as ever; the proof would save one request of theirs.
 */
export class CommittedProof {
  readonly #call: Call;
  readonly #isTried: boolean;
  #guess: Guess | null = null;

  constructor(call: Call, outbox: Frozen) {
    const { options, memory } = call.engine;
    this.#call = call;
    this.#isTried = outbox.rowCount > options.downloadLimit && memory.proofs.isDue();
  }

  /** Begins to hash while the server commits. `bundleSeq` is what the sequence is going to be, unless others write as well. */
  begin(bundleSeq: bigint): void {
    if (!this.#isTried || this.#guess?.bundleSeq === bundleSeq) return;
    const candidate = this.#hash(bundleSeq);
    // A failure is seen when the commit is known; it may never be.
    candidate.catch(() => undefined);
    this.#guess = { bundleSeq, candidate };
  }

  /** Waits until nothing is read any more. */
  async settle(): Promise<void> {
    await this.#guess?.candidate.catch(() => undefined);
  }

  /** The frozen rows, all of them, when they are what was committed; else `null`: only the rows themselves tell then. */
  async provenRuns(committed: Committed): Promise<readonly MatchedRun[] | null> {
    if (!this.#isTried) return null;
    await this.settle();
    this.begin(committed.bundleSeq);
    const candidate = (await this.#guess?.candidate) ?? null;
    const { proofs } = this.#call.engine.memory;
    if (candidate?.hash === committed.bundleHash) {
      proofs.noteProved();
      return candidate.runs;
    }
    proofs.noteMissed();
    return null;
  }

  async #hash(bundleSeq: bigint): Promise<CommittedCandidate | null> {
    const { engine, schema, signal } = this.#call;
    const { applyBatchRows, applyBatchBytes, ports } = engine.options;
    const page = { rowsMax: applyBatchRows, bytesMax: applyBatchBytes };
    const hasher = new CandidateHasher(schema, engine.memory.proofs, bundleSeq, ports.sha256);
    do {
      // A synchronous driver would keep the request for the commit from leaving, and the application from working.
      await nextTurn();
      checkNotAborted(signal);
    } while (await hasher.takePage(engine.driver, page));
    return hasher.result();
  }
}
