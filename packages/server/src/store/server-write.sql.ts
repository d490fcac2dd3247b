/**
 * Statements of server-originated writes (server.md 12). They carry their parameters as literals, so that several of them travel in one
 * round trip; every text goes through `quoteLiteral`.
 */
import { quoteLiteral } from '../rules/sql-text.ts';
import { selectActorFacts } from './actor-facts.sql.ts';
import { CONTEXT_SETTINGS, scopePkSetting } from './capture.sql.ts';
import type { MetadataNames } from './metadata.sql.ts';

/** Makes the scope if it is new. The sequence is asked only then. */
export function insertScope(m: MetadataNames, scopeId: string): string {
  const id = quoteLiteral(scopeId);
  return (
    `INSERT INTO ${m.scope} (scope_pk,scope_id,state) SELECT nextval('${m.scopePkSequence}'),${id},'uninitialized' ` +
    `WHERE NOT EXISTS (SELECT FROM ${m.scope} WHERE scope_id=${id}) ON CONFLICT (scope_id) DO NOTHING`
  );
}

/** Waits for writers of the scope and completes the bundle context; what later statements of the script read is newer than all of them. */
export function lockScopeOfWrite(m: MetadataNames, scopeId: string): string {
  return `SELECT ${scopePkSetting('sc.scope_pk')} FROM ${m.scope} sc WHERE sc.scope_id=${quoteLiteral(scopeId)} FOR NO KEY UPDATE OF sc`;
}

/** What the scope knows about the writer; read by `readActorFacts`. */
export function selectWriterFacts(m: MetadataNames, scopeId: string, sourceId: string): string {
  return selectActorFacts(m, { scopeId: quoteLiteral(scopeId), sourceId: quoteLiteral(sourceId) });
}

/** Operation hash and stored result of an earlier call with this operation id. */
export function selectReceipt(m: MetadataNames, scopeId: string, operationId: string): string {
  return (
    `SELECT r.operation_hash,r.result FROM ${m.writeReceipt} r JOIN ${m.scope} s USING (scope_pk) ` +
    `WHERE s.scope_id=${quoteLiteral(scopeId)} AND r.operation_id=${quoteLiteral(operationId)}::uuid`
  );
}

export interface NewReceipt {
  readonly scopePk: string;
  readonly operationId: string;
  readonly operationHash: string;
  /** JSON text. */
  readonly result: string;
}

export function insertReceipt(m: MetadataNames, receipt: NewReceipt): string {
  return (
    `INSERT INTO ${m.writeReceipt} (scope_pk,operation_id,operation_hash,result) VALUES (${BigInt(receipt.scopePk)},` +
    `${quoteLiteral(receipt.operationId)}::uuid,${quoteLiteral(receipt.operationHash)},${quoteLiteral(receipt.result)})`
  );
}

/** A bundle that one source has committed under one of its ids. */
export interface BundleTuple {
  readonly scopeId: string;
  readonly sourceId: string;
  readonly sourceBundleId: bigint;
}

/** The bundle of a tuple while it is retained. */
export function selectRetainedBundle(m: MetadataNames, tuple: BundleTuple): string {
  return (
    `SELECT b.bundle_seq,b.row_count,b.bundle_hash,b.canonical_request_hash,b.operation_hash FROM ${m.bundle} b ` +
    `JOIN ${m.scope} s USING (scope_pk) WHERE s.scope_id=${quoteLiteral(tuple.scopeId)} AND b.bundle_seq>s.floor ` +
    `AND b.source_id=${quoteLiteral(tuple.sourceId)} AND b.source_bundle_id=${tuple.sourceBundleId}`
  );
}

/** One row if the transaction with this id has committed the tuple. */
export function selectBundleOfTransaction(m: MetadataNames, tuple: BundleTuple, transactionId: string): string {
  return (
    `SELECT FROM ${m.bundle} b JOIN ${m.scope} s USING (scope_pk) WHERE s.scope_id=${quoteLiteral(tuple.scopeId)} ` +
    `AND b.source_id=${quoteLiteral(tuple.sourceId)} AND b.source_bundle_id=${tuple.sourceBundleId} ` +
    `AND b.transaction_id=${quoteLiteral(transactionId)}::xid8`
  );
}

/** The bundle context as the callback has left it: scope, number of the scope, token; and the id of the transaction. */
export const SELECT_CONTEXT_SQL = `SELECT current_setting('${CONTEXT_SETTINGS.scopeId}',true),current_setting('${CONTEXT_SETTINGS.scopePk}',true),current_setting('${CONTEXT_SETTINGS.captureToken}',true),pg_current_xact_id()`;
