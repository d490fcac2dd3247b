/**
 * Functions that do what a small push needs of the metadata in one statement each (create, chunk, begin and end of a commit). They know
 * the plain case only: whatever else they meet, they leave everything as it was and say so, and the ordinary statements decide and report.
 *
 * A function is named by what it does, so that processes of two versions each call their own.
 */
import { createSha256 } from '@oversync/protocol';

import { changesRows } from '../rules/push-apply-sql.ts';
import { quoteLiteral } from '../rules/sql-text.ts';
import { writeBundleSql } from './bundle-header.sql.ts';
import { CONTEXT_SETTINGS } from './capture.sql.ts';
import { createAcceptCondition } from './conflict.sql.ts';
import type { FunctionDefinition } from './functions.sql.ts';
import { metadataNames } from './metadata.sql.ts';
import type { MetadataNames } from './metadata.sql.ts';
import { insertRowsSql } from './push-row.sql.ts';

/** SQLSTATE by which a commit says that its kind of push is not plain: what makes it so will do so again. */
export const NOT_PLAIN_STATE = 'OV003';

/** The same of this push alone. */
const NOT_PLAIN_ONCE_STATE = 'OV004';

interface FunctionDraft {
  readonly name: string;
  /** Types only: a name could be taken for a column. Bodies refer to `$1 …`. */
  readonly args: string;
  readonly returns: string;
  readonly body: string;
}

const set = (name: string, value: string): string => `set_config(${quoteLiteral(name)},${value},true)`;

/**
 * Settings on which the meaning or the form of a value depends, and the one that bounds waiting for a lock (milliseconds). Assignments,
 * because PL/pgSQL evaluates them without the executor.
 */
function pinSettings(lockTimeoutMs: string): string {
  const pinned = [
    ['TimeZone', 'UTC'],
    ['IntervalStyle', 'postgres'],
    ['bytea_output', 'hex'],
    ['extra_float_digits', '1'],
    ['standard_conforming_strings', 'on'],
    ['jit', 'off'],
  ] as const;
  const statements = pinned.map(
    ([name, value]) =>
      `IF current_setting(${quoteLiteral(name)})<>${quoteLiteral(value)} THEN v_set:=${set(name, quoteLiteral(value))}; END IF;`,
  );
  return `
  ${statements.join('\n  ')}
  IF current_setting('DateStyle') NOT LIKE 'ISO%' THEN v_set:=${set('DateStyle', `'ISO'`)}; END IF;
  v_set:=${set('lock_timeout', `${lockTimeoutMs}::text`)};`;
}

/** Whether the transaction is another than the ordinary way begins: a database may have another default, and nobody said BEGIN. */
const IS_OTHER_MODE = `current_setting('transaction_isolation')<>'read committed' OR current_setting('transaction_read_only')<>'off'`;

/**
 * Ends a function where `$3` may not write in the scope `$1`. A statement of its own: with `$4 IS NULL OR …` inside of another one
 * PostgreSQL finds plans for the value at hand cheaper than one for all, and plans that statement anew each time.
 */
function refuseUnbound(m: MetadataNames, refusal: string): string {
  const isBound = `EXISTS (SELECT FROM ${m.sourceBinding} b WHERE b.scope_pk=$1 AND b.source_id=$3 AND b.user_id=$4)`;
  return `IF $4 IS NOT NULL THEN IF NOT ${isBound} THEN ${refusal} END IF; END IF;`;
}

/**
 * `$1` scope_pk, `$2` scope id, `$3` source id, `$4` user id or NULL, `$5` lock time-out. What it writes is lost in a crash anyway, so its
 * commit waits for no disk.
 */
function createDraft(m: MetadataNames): FunctionDraft {
  return {
    name: 'small_push_create',
    args: 'bigint, text, text, text, integer, bigint, integer, text, uuid, bigint, integer',
    returns: 'boolean',
    body: `
DECLARE
  v_set text;
  v_is_next boolean;
  v_has_own boolean;
  v_others int8;
  v_own uuid;
BEGIN
  IF ${IS_OTHER_MODE} THEN RETURN false; END IF;
  v_set:=${set('lock_timeout', '$5::text')}||${set('synchronous_commit', `'off'`)};
  PERFORM FROM ${m.scope} s WHERE s.scope_pk=$1 AND s.scope_id=$2 AND s.state='initialized' FOR NO KEY UPDATE;
  IF NOT FOUND THEN RETURN false; END IF;
  SELECT EXISTS (SELECT FROM ${m.source} c WHERE c.scope_pk=$1 AND c.source_id=$3 AND c.state='active' AND c.kind='client' AND c.watermark+1=$6),
    bool_or(ps.source_id=$3),count(*) FILTER (WHERE ps.source_id<>$3 AND ps.expires_at>now()) INTO v_is_next,v_has_own,v_others
  FROM ${m.pushSession} ps WHERE ps.scope_pk=$1;
  IF v_others>=$11 THEN RETURN false; END IF;
  IF NOT v_is_next THEN
    IF $6<>1 OR EXISTS (SELECT FROM ${m.source} c WHERE c.scope_pk=$1 AND c.source_id=$3 AND NOT (c.state='reserved' AND c.kind='client'))
      OR EXISTS (SELECT FROM ${m.bundle} bu WHERE bu.scope_pk=$1 AND bu.source_id=$3 AND bu.source_bundle_id=$6) THEN RETURN false; END IF;
  END IF;
  ${refuseUnbound(m, 'RETURN false;')}
  IF v_has_own THEN
    DELETE FROM ${m.pushSession} ps WHERE ps.scope_pk=$1 AND ps.source_id=$3 RETURNING ps.push_id INTO v_own;
    DELETE FROM ${m.pushRow} p WHERE p.scope_pk=$1 AND p.push_id=v_own;
  END IF;
  INSERT INTO ${m.pushSession} (scope_pk,push_id,source_id,source_bundle_id,planned_row_count,canonical_request_hash,expires_at)
  VALUES ($1,$9,$3,$6,$7,$8,clock_timestamp()+$10*interval '1 millisecond');
  RETURN true;
END`,
  };
}

/** The arguments of `create` up to `$5`, then `$6` push id, `$7` rows, `$8` their bytes, `$9` row layout, `$10` ttl, `$11` rows as JSON. */
function stageDraft(m: MetadataNames): FunctionDraft {
  return {
    name: 'small_push_stage',
    args: 'bigint, text, text, text, integer, uuid, integer, bigint, text, bigint, jsonb',
    returns: 'bigint',
    body: `
DECLARE
  v_set text;
  v_bundle int8;
BEGIN
  IF ${IS_OTHER_MODE} THEN RETURN NULL; END IF;${pinSettings('$5')}
  ${refuseUnbound(m, 'RETURN NULL;')}
  UPDATE ${m.pushSession} ps SET next_row_ordinal=$7,staged_bytes=$8,row_layout=$9,expires_at=clock_timestamp()+$10*interval '1 millisecond'
  WHERE ps.scope_pk=$1 AND ps.push_id=$6 AND ps.source_id=$3 AND ps.next_row_ordinal=0 AND ps.planned_row_count>=$7
    AND ps.initialization_id IS NULL AND ps.expires_at>now()
    AND EXISTS (SELECT FROM ${m.scope} s WHERE s.scope_pk=$1 AND s.scope_id=$2)
    AND NOT EXISTS (SELECT FROM ${m.source} c WHERE c.scope_pk=$1 AND c.source_id=$3 AND c.kind='server')
  RETURNING ps.source_bundle_id INTO v_bundle;
  IF NOT FOUND THEN RETURN NULL; END IF;
  ${insertRowsSql(m, { scopePk: '$1', pushId: '$6', rows: '$11' })};
  RETURN v_bundle;
END`,
  };
}

/**
 * Transaction-local settings through which the statements of a commit learn what `begin` has found, because all of them are sent at once.
 * The first is '' where the case is not plain: then they find no rows, and the commit is one of nothing.
 */
export const FOUND_SETTINGS = {
  scopePk: 'oversync.small_push_scope_pk',
  bundleSeq: 'oversync.small_push_bundle_seq',
  sourceBundleId: 'oversync.small_push_source_bundle_id',
  floor: 'oversync.small_push_floor',
} as const;

/**
 * The arguments of `create` up to `$5`, then `$6` push id, `$7` rows, `$8` request hash, `$9` row layout, `$10` capture token, `$11` the
 * tables that are written or '', `$12` whether to compare versions, which the statement that follows may do itself.
 */
function beginDraft(m: MetadataNames): FunctionDraft {
  const accept = createAcceptCondition({
    op: 'p.op',
    baseRowVersion: 'p.base_row_version',
    version: 'r.version',
    deleted: 'r.deleted',
    floor: 'v_floor',
  });
  const context = [
    set(CONTEXT_SETTINGS.scopeId, '$2'),
    set(CONTEXT_SETTINGS.scopePk, '$1::text'),
    set(CONTEXT_SETTINGS.captureToken, '$10::text'),
    set(CONTEXT_SETTINGS.applyTableId, '$11'),
    set(FOUND_SETTINGS.scopePk, `''`),
  ];
  const found = [
    set(FOUND_SETTINGS.scopePk, '$1::text'),
    set(FOUND_SETTINGS.bundleSeq, '(v_head+1)::text'),
    set(FOUND_SETTINGS.sourceBundleId, 'v_bundle::text'),
    set(FOUND_SETTINGS.floor, 'v_floor::text'),
  ];
  return {
    name: 'small_push_begin',
    args: 'bigint, text, text, text, integer, uuid, integer, text, text, uuid, text, boolean',
    returns: 'text',
    body: `
DECLARE
  v_set text;
  v_head int8;
  v_floor int8;
  v_bundle int8;
  v_lock_wait_ms int8;
BEGIN${pinSettings('$5')}
  v_set:=${context.join('||')};
  IF ${IS_OTHER_MODE} THEN RETURN NULL; END IF;
  SELECT s.head,s.floor INTO v_head,v_floor FROM ${m.scope} s WHERE s.scope_pk=$1 AND s.scope_id=$2 AND s.state='initialized' FOR NO KEY UPDATE;
  IF NOT FOUND THEN RETURN NULL; END IF;
  v_lock_wait_ms:=(extract(epoch FROM clock_timestamp()-now())*1000)::int8;
  SELECT ps.source_bundle_id INTO v_bundle FROM ${m.pushSession} ps LEFT JOIN ${m.source} c ON c.scope_pk=$1 AND c.source_id=$3
  WHERE ps.scope_pk=$1 AND ps.push_id=$6 AND ps.source_id=$3 AND ps.next_row_ordinal=$7 AND ps.planned_row_count=$7
    AND ps.canonical_request_hash=$8 AND ps.row_layout=$9 AND ps.initialization_id IS NULL AND ps.expires_at>now()
    AND CASE c.state WHEN 'active' THEN c.kind='client' AND c.watermark+1=ps.source_bundle_id
      WHEN 'retired' THEN false ELSE COALESCE(c.kind,'client')='client' AND ps.source_bundle_id=1 END FOR NO KEY UPDATE OF ps;
  IF NOT FOUND THEN RETURN NULL; END IF;
  ${refuseUnbound(m, 'RETURN NULL;')}
  IF $12 THEN
    IF $7<>(SELECT count(*) FROM ${m.pushRow} p LEFT JOIN LATERAL (SELECT r.version,r.deleted FROM ${m.rowState} r
        WHERE r.scope_pk=$1 AND r.table_id=p.table_id AND r.key_bytes=p.key_bytes OFFSET 0) r ON true
      WHERE p.scope_pk=$1 AND p.push_id=$6 AND ${accept}) THEN RETURN NULL; END IF;
  END IF;
  v_set:=${found.join('||')};
  SET CONSTRAINTS ALL DEFERRED;
  RETURN concat_ws(',',v_head+1,v_bundle,v_lock_wait_ms);
END`,
  };
}

const raise = (state: string): string => `RAISE EXCEPTION USING ERRCODE='${state}',MESSAGE='not a plain push'`;
const REFUSE = raise(NOT_PLAIN_STATE);
const REFUSE_ONCE = raise(NOT_PLAIN_ONCE_STATE);

/**
 * The parameters of `writeBundleSql`, then `$19` largest row, and the limits of `$5`, `$9` and `$19`; NULL where there is none. `$13` is NULL
 * where triggers are yet to run, and `settle` looks at what they did. Where no
 * bundle can have become too old or too many bytes, the same is done by statements without common table expressions, in half the time.
 */
function finishDraft(m: MetadataNames): FunctionDraft {
  return {
    name: 'small_push_finish',
    args: 'bigint, bigint, text, bigint, integer, text, text, text, bigint, bigint, text, uuid, uuid, bigint, bigint, bigint, integer, boolean, bigint, bigint, bigint, bigint',
    returns: 'boolean',
    body: `
DECLARE
  v_done record;
  v_wire_bytes int8;
  v_set text;
BEGIN
  IF COALESCE($5,0)=0 THEN v_set:=${set(FOUND_SETTINGS.scopePk, `''`)}; RETURN false; END IF;
  IF $6 IS NULL OR $5>$20 OR $9>$21 OR $19>$22 THEN ${REFUSE_ONCE}; END IF;
  IF $13 IS NOT NULL THEN
    IF EXISTS (SELECT FROM ${m.capture} c WHERE c.scope_pk=$1 AND c.token=$13) THEN ${REFUSE}; END IF;
  END IF;
  IF $15 IS NOT NULL OR $16 IS NOT NULL OR $18 THEN
    FOR v_done IN ${writeBundleSql(m)} LOOP
      RETURN true;
    END LOOP;
    ${REFUSE_ONCE};
  END IF;
  UPDATE ${m.scope} s SET head=$2,bundle_count=s.bundle_count+1,bundle_bytes=s.bundle_bytes+$9,wire_bytes=s.wire_bytes+$10,
    floor=GREATEST(s.floor,LEAST(COALESCE($2-$14,0),s.floor+$17,$2-1)),
    state='initialized',lease_source_id=NULL,initialization_id=NULL,lease_expires_at=NULL
  WHERE s.scope_pk=$1 AND s.head=$2-1 RETURNING s.wire_bytes INTO v_wire_bytes;
  IF NOT FOUND THEN ${REFUSE_ONCE}; END IF;
  INSERT INTO ${m.bundle} (scope_pk,bundle_seq,source_id,source_bundle_id,row_count,bundle_hash,canonical_request_hash,operation_hash,
    canonical_bytes,wire_bytes,wire_bytes_total) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,v_wire_bytes);
  UPDATE ${m.source} o SET state='active',watermark=$4 WHERE o.scope_pk=$1 AND o.source_id=$3 AND o.state<>'retired';
  IF NOT FOUND THEN
    INSERT INTO ${m.source} (scope_pk,source_id,state,kind,watermark) VALUES ($1,$3,'active',$11,$4) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN ${REFUSE_ONCE}; END IF;
  END IF;
  DELETE FROM ${m.pushSession} ps WHERE ps.scope_pk=$1 AND ps.push_id=$12;
  DELETE FROM ${m.pushRow} p WHERE p.scope_pk=$1 AND p.push_id=$12;
  IF $13 IS NOT NULL THEN v_set:=${set(CONTEXT_SETTINGS.captureToken, `''`)}; END IF;
  RETURN true;
END`,
  };
}

/**
 * Whether statements that found no rows may have done something nevertheless: triggers of the application fire once per statement, and
 * rules act unconditionally. Of a partitioned table only those of the table that was named.
 */
function actsWithoutRows(m: MetadataNames): string {
  const isOwn = `EXISTS (SELECT FROM pg_proc p WHERE p.oid=t.tgfoid AND p.pronamespace=${quoteLiteral(m.schema)}::regnamespace)`;
  return (
    `EXISTS (SELECT FROM pg_class c WHERE c.oid=$1 AND c.relhasrules) OR ` +
    `EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid=$1 AND NOT t.tgisinternal AND t.tgtype&1=0 AND t.tgenabled<>'D' AND NOT ${isOwn})`
  );
}

/**
 * Takes a commit of nothing back where it may have left traces. `$1` table, `$2` its columns: a row literal means something else once a column came or went. `$3` scope and `$4` capture token of a commit
 * that took the literals for the rows, or NULL: nothing else may have written, nor had a say in what was stored. Runs last then.
 */
function settleDraft(m: MetadataNames): FunctionDraft {
  const partition = `SELECT FROM pg_partition_tree($1) t JOIN pg_class p ON p.oid=t.relid WHERE ${changesRows('p')}`;
  return {
    name: 'small_push_settle',
    args: 'regclass, text, bigint, uuid',
    returns: 'boolean',
    body: `
DECLARE
  v_set text;
  v_kind "char";
  v_columns text;
  v_changes boolean;
  v_captured boolean;
BEGIN
  IF current_setting(${quoteLiteral(FOUND_SETTINGS.scopePk)},true)='' THEN
    IF ${actsWithoutRows(m)} THEN ${REFUSE_ONCE}; END IF;
    RETURN true;
  END IF;
  SELECT c.relkind,(SELECT string_agg(a.attname::text,',' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid=$1 AND a.attnum>0 AND NOT a.attisdropped),
    ${changesRows('c')},EXISTS (SELECT FROM ${m.capture} w WHERE w.scope_pk=$3 AND w.token=$4) INTO v_kind,v_columns,v_changes,v_captured
  FROM pg_class c WHERE c.oid=$1;
  IF v_columns IS DISTINCT FROM $2 THEN ${REFUSE}; END IF;
  IF $4 IS NULL THEN RETURN true; END IF;
  IF v_captured OR v_changes THEN ${REFUSE}; END IF;
  IF v_kind='p' THEN
    IF EXISTS (${partition}) THEN ${REFUSE}; END IF;
  END IF;
  v_set:=${set(CONTEXT_SETTINGS.captureToken, `''`)};
  RETURN true;
END`,
  };
}

const DRAFTS = {
  create: createDraft,
  stage: stageDraft,
  begin: beginDraft,
  finish: finishDraft,
  settle: settleDraft,
};

export type SmallPushFunction = keyof typeof DRAFTS;

/** Unqualified names, made of the text under a fixed schema, so that they are the same in every deployment. */
const NAMES: Readonly<Record<SmallPushFunction, string>> = {
  create: hashedName(createDraft),
  stage: hashedName(stageDraft),
  begin: hashedName(beginDraft),
  finish: hashedName(finishDraft),
  settle: hashedName(settleDraft),
};

function hashedName(draft: (m: MetadataNames) => FunctionDraft): string {
  const { name, args, returns, body } = draft(metadataNames('sync'));
  const hash = createSha256();
  hash.update([args, returns, body].join('\n'));
  return `${name}_${hash.digestHex().slice(0, 12)}`;
}

/** Qualified name of the function that this version calls. */
export function nameFunction(m: MetadataNames, kind: SmallPushFunction): string {
  return `${m.schema}.${NAMES[kind]}`;
}

/** What bootstrap installs. */
export function smallPushFunctions(m: MetadataNames): readonly FunctionDefinition[] {
  const kinds = ['create', 'stage', 'begin', 'finish', 'settle'] as const;
  return kinds.map((kind) => {
    const { args, returns, body } = DRAFTS[kind](m);
    return {
      name: NAMES[kind],
      args,
      returns,
      volatility: 'v',
      isStrict: false,
      securityDefiner: false,
      body,
    };
  });
}
