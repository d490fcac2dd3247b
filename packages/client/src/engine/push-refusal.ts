import { SyncError, isJsonObject, parseSourceRetired } from '@oversync/protocol';

import { httpError, safeServerCode } from '../http/request-reply.ts';
import type { Refusal } from '../http/request-reply.ts';
import type { ServerCapabilities } from '../rules/negotiation.ts';
import { decidePushAnswer } from '../rules/push-answer.ts';
import type { PushAnswer, PushStep } from '../rules/push-answer.ts';
import type { Outbox } from '../store/client-state.ts';
import type { Call } from './engine.ts';
import { refusalError } from './server-requests.ts';
import { loseInitialization, loseSource } from './transitions.ts';

export type Prepared = Extract<Outbox, { readonly state: 'prepared' }>;
export type Committed = Extract<Outbox, { readonly state: 'committed_remote' }>;

/** How the upload of a frozen bundle ended without an error. */
export type UploadOutcome =
  | { readonly kind: 'committed'; readonly outbox: Committed }
  | { readonly kind: 'conflict'; readonly refusal: Refusal }
  /** The server refuses the content; the tuple is not committed. */
  | { readonly kind: 'rejected'; readonly refusal: Refusal };

/** One frozen bundle on its way. */
export interface Upload {
  readonly call: Call;
  readonly capabilities: ServerCapabilities;
  readonly outbox: Prepared;
  /** Called when the commit is on its way: there is time until the server has answered. */
  readonly whileCommitting: () => void;
  /** Cleared when the server does not want it any more. */
  initializationId: string;
}

/** A session that takes rows from `nextOrdinal` on. */
export interface OpenSession {
  readonly pushId: string;
  readonly nextOrdinal: number;
}

/** What one step of an attempt leads to. */
export type StepOutcome<T> =
  | { readonly kind: 'next'; readonly value: T }
  | { readonly kind: 'createAgain'; readonly error: SyncError }
  | { readonly kind: 'ended'; readonly outcome: UploadOutcome };

/** Does what an answer asks for: stores a recovery and throws, or says how to go on. */
export async function reactToRefusal(
  upload: Upload,
  step: PushStep,
  refusal: Refusal,
): Promise<Exclude<StepOutcome<never>, { kind: 'next' }>> {
  const { call } = upload;
  const answer = answerOf(step, refusal);
  switch (answer.kind) {
    case 'sourceLost':
      await loseSource(call, answer.reason, answer.reason === 'source_retired' ? namedSuccessor(upload, refusal) : null);
      throw new SyncError('source_recovery_required', { details: { reason: answer.reason } });
    case 'initializationLost':
      await loseInitialization(call);
      throw new SyncError('initialization_lost', { details: { serverCode: safeServerCode(refusal.serverCode) } });
    case 'createAgain':
      return { kind: 'createAgain', error: httpError(refusal) };
    case 'conflict':
      return { kind: 'ended', outcome: { kind: 'conflict', refusal } };
    case 'rejected':
      return { kind: 'ended', outcome: { kind: 'rejected', refusal } };
    case 'createRefused':
    case 'other':
      if (step === 'commit' && refusal.status >= 500 && refusal.retryAfterMs === null)
        return { kind: 'createAgain', error: httpError(refusal) };
      throw refusalError(refusal);
  }
}

/** What a refusal means for a push. */
export function answerOf(step: PushStep, refusal: Refusal): PushAnswer {
  return decidePushAnswer(step, {
    status: refusal.status,
    serverCode: refusal.serverCode,
    hasViolation: isJsonObject(refusal.body?.['violation']),
    hasLimitExceeded: isJsonObject(refusal.body?.['limit_exceeded']),
  });
}

function namedSuccessor(upload: Upload, refusal: Refusal): string | null {
  const retired = parseSourceRetired(refusal.body ?? {});
  if (retired.source_id !== upload.outbox.sourceId)
    throw new SyncError('protocol_violation', { details: { reason: 'identity' } });
  return retired.replaced_by_source_id ?? null;
}
