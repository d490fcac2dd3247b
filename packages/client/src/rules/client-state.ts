/** Why a keep-source rebuild is due (client.md 3.2 rule 4). */
export type CheckpointReason =
  | 'history_pruned'
  | 'checkpoint_ahead'
  | 'explicit_rebuild'
  | 'resume'
  | 'apply_failed'
  | 'restore_row';

/** Why the server no longer takes this source's numbering (client.md 3.2 rule 5). */
export type SourceRecoveryReason =
  | 'history_pruned'
  | 'source_sequence_out_of_order'
  | 'source_sequence_changed'
  | 'source_retired';

/** A snapshot session whose rows are, or are being, staged. */
export interface StagedSession {
  readonly snapshotId: string;
  readonly bundleSeq: bigint;
  readonly rowCount: bigint;
  readonly byteCount: bigint;
  /** Every row is staged and the sums were right. */
  readonly isComplete: boolean;
}

interface AttachedState {
  readonly sourceId: string;
  readonly userId: string;
  readonly lastBundleSeqSeen: bigint;
  /** Lease of the first seed push. */
  readonly initializationId: string | null;
  readonly staged: StagedSession | null;
}

/**
 * Attachment and operation in one: exactly the states of client.md 5.1, so that a combination which does not exist cannot be stored.
 *
 * ```
 * anonymous ──► attached ◄──► checkpoint_recovery
 *   │  ▲           │ ▲              │
 *   ▼  │           ▼ │              ▼
 * replacing     source_recovery ◄───┘
 * ```
 */
export type LifecycleState =
  | { readonly name: 'anonymous'; readonly sourceId: string }
  | {
      readonly name: 'replacing';
      readonly sourceId: string;
      readonly targetUserId: string;
      readonly staged: StagedSession | null;
    }
  | ({ readonly name: 'attached' } & AttachedState)
  | ({ readonly name: 'checkpoint_recovery'; readonly reason: CheckpointReason } & AttachedState)
  | ({
      readonly name: 'source_recovery';
      readonly reason: SourceRecoveryReason;
      readonly replacementSourceId: string;
    } & AttachedState)
  /** A stored reason outside the four known ones: reported as `source_recovery_reason_invalid`, never rewritten. */
  | ({
      readonly name: 'source_recovery_unknown';
      readonly storedReason: string;
      readonly replacementSourceId: string;
    } & AttachedState);

interface FrozenBundle {
  readonly sourceId: string;
  readonly sourceBundleId: bigint;
  readonly initializationId: string | null;
  readonly requestHash: string;
  readonly rowCount: number;
}

/** The one frozen bundle (client.md 3.2 rules 1–3). */
export type Outbox =
  | { readonly state: 'none' }
  | ({ readonly state: 'prepared' } & FrozenBundle)
  | ({ readonly state: 'committed_remote'; readonly bundleSeq: bigint; readonly bundleHash: string } & FrozenBundle);

export interface ClientState {
  readonly lifecycle: LifecycleState;
  readonly outbox: Outbox;
  /** 0 in every committed state (client.md 3.2 rule 1). */
  readonly applyMode: number;
}

export interface SourceRecord {
  readonly sourceId: string;
  readonly nextSourceBundleId: bigint;
  readonly replacedBySourceId: string | null;
}
