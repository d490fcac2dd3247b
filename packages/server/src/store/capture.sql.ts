/**
 * Capture (server.md 7.4): triggers on every registered table and partition that write down the keys a bundle transaction
 * touched, and refuse every write outside of one. The image of a key is read later, once, from the table itself.
 */
import { quoteIdentifier, quoteLiteral } from '../rules/sql-text.ts';
import { SCOPE_COLUMN } from '../rules/table-description.ts';
import type { KeyKind } from '../rules/table-description.ts';
import type { FunctionDefinition } from './functions.sql.ts';
import type { MetadataNames } from './metadata.sql.ts';

/** SQLSTATE of a write to a registered table outside a bundle transaction, or to rows of another scope. */
export const REGISTERED_WRITE_STATE = 'OV001';

/** Transaction-local settings that carry the bundle context to the triggers. Empty counts as unset. */
export const CONTEXT_SETTINGS = {
  /** The scope's id as it stands in `_sync_scope_id`. */
  scopeId: 'oversync.scope_id',
  scopePk: 'oversync.scope_pk',
  /** UUID of this transaction attempt: finds its rows in `capture`. */
  captureToken: 'oversync.capture_token',
  /** Ids of the tables that a push is just applying to, with commas; capture skips exactly these top-level statements. */
  applyTableId: 'oversync.apply_table_id',
} as const;

/** Default of the scope column: an insert may leave it out. Without a context it is '', which the trigger refuses. */
export const SCOPE_DEFAULT_SQL = `COALESCE(current_setting('${CONTEXT_SETTINGS.scopeId}'::text, true), ''::text)`;

/**
 * Statements that open the bundle context, for the round trip of BEGIN. `scopePk` may still be unknown there: set it with
 * {@link scopePkSetting} in the statement that locks the scope row.
 */
export function bundleContextSettings(context: {
  readonly scopeId: string;
  readonly captureToken: string;
  readonly scopePk?: string;
}): string {
  return (
    `SELECT set_config('${CONTEXT_SETTINGS.scopeId}',${quoteLiteral(context.scopeId)},true),` +
    `set_config('${CONTEXT_SETTINGS.scopePk}',${quoteLiteral(context.scopePk ?? '')},true),` +
    `set_config('${CONTEXT_SETTINGS.captureToken}',${quoteLiteral(context.captureToken)},true),` +
    `set_config('${CONTEXT_SETTINGS.applyTableId}','',true)`
  );
}

/** Select-list item for a statement that reads the scope row under its lock; `scopePk` is an SQL expression. */
export function scopePkSetting(scopePk: string): string {
  return `set_config('${CONTEXT_SETTINGS.scopePk}',(${scopePk})::text,true)`;
}

/** Statement to run before the apply statements of one table. Pass `null` when the push has applied everything. */
export function applyTableSetting(tableId: number | null): string {
  return `SELECT set_config('${CONTEXT_SETTINGS.applyTableId}','${tableId === null ? '' : String(tableId)}',true)`;
}

/** The same for a statement that applies to several tables. */
export function applyTablesSetting(tableIds: readonly number[]): string {
  return `SELECT set_config('${CONTEXT_SETTINGS.applyTableId}','${tableIds.join(',')}',true)`;
}

/** What capture needs to know about a table. */
export interface CapturedTable {
  readonly tableId: number;
  readonly keyColumn: string;
  readonly keyKind: KeyKind;
  /** A pushed row's key or scope may be changed by the application before it is stored: never skip. */
  readonly capturesPushes: boolean;
}

/** Opening of every trigger body: raises unless a bundle context is open. */
function requireContext(m: MetadataNames): string {
  return `
  context_scope := current_setting('${CONTEXT_SETTINGS.scopeId}', true);
  context_pk := nullif(current_setting('${CONTEXT_SETTINGS.scopePk}', true), '');
  context_token := nullif(current_setting('${CONTEXT_SETTINGS.captureToken}', true), '');
  IF context_pk IS NULL OR context_token IS NULL OR coalesce(context_scope, '') = '' THEN
    ${refuse(m, 'a registered table is written only inside a sync bundle')}
  END IF;`;
}

function refuse(m: MetadataNames, message: string): string {
  return (
    `PERFORM nextval(${quoteLiteral(m.rejectedWriteSequence)}); ` +
    `RAISE EXCEPTION USING ERRCODE = '${REGISTERED_WRITE_STATE}', MESSAGE = ${quoteLiteral(message)}, SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;`
  );
}

/** Name of the capture function of a table; one per table, because its SQL names the key column. */
export function captureFunctionName(tableId: number): string {
  return `capture_${String(tableId)}`;
}

export function rowCaptureFunctionName(tableId: number): string {
  return `capture_row_${String(tableId)}`;
}

const FOREIGN_SCOPE = 'a sync bundle writes rows of its own scope only';
const REPLICATION_TARGET = 'a registered table cannot be the target of replication';

/**
 * Records keys with one INSERT … SELECT per statement. A push's own top-level statements return at once: the push knows its
 * keys. Everything they cause (cascades, triggers) runs deeper or on another table and is recorded.
 */
export function captureFunction(m: MetadataNames, table: CapturedTable): FunctionDefinition {
  const key = `r.${quoteIdentifier(table.keyColumn)}`;
  const bytes = table.keyKind === 'uuid' ? `uuid_send(${key})` : `convert_to(${key}, 'UTF8')`;
  const record = (source: string): string => recordKeys(m, table, source);
  const checkScope = (rows: string): string => `
    IF EXISTS (SELECT FROM ${rows} r WHERE r.${quoteIdentifier(SCOPE_COLUMN)} IS DISTINCT FROM context_scope) THEN
      ${refuse(m, FOREIGN_SCOPE)}
    END IF;`;
  return triggerFunction(
    captureFunctionName(table.tableId),
    `${openCapture(m, table)}
  IF TG_OP = 'INSERT' THEN${checkScope('new_rows')}${record(`SELECT ${bytes} AS key_bytes FROM new_rows r`)}
  ELSIF TG_OP = 'DELETE' THEN${checkScope('old_rows')}${record(`SELECT ${bytes} AS key_bytes FROM old_rows r`)}
  ELSE${checkScope('old_rows')}${checkScope('new_rows')}${record(
    `SELECT ${bytes} AS key_bytes FROM old_rows r UNION SELECT ${bytes} FROM new_rows r`,
  )}
  END IF;
  RETURN NULL;
END`,
  );
}

/**
 * The same for one row. A partitioned table hands its row triggers on to every partition, present and future, and statement triggers to
 * none: this one stands in for those of a partition until they have been installed, the one against replication included.
 */
export function rowCaptureFunction(m: MetadataNames, table: CapturedTable): FunctionDefinition {
  const recordRow = (row: 'OLD' | 'NEW'): string => {
    const key = `${row}.${quoteIdentifier(table.keyColumn)}`;
    const bytes = table.keyKind === 'uuid' ? `uuid_send(${key})` : `convert_to(${key}, 'UTF8')`;
    return `
    IF ${row}.${quoteIdentifier(SCOPE_COLUMN)} IS DISTINCT FROM context_scope THEN
      ${refuse(m, FOREIGN_SCOPE)}
    END IF;${recordKeys(m, table, `SELECT ${bytes} AS key_bytes`)}`;
  };
  return triggerFunction(
    rowCaptureFunctionName(table.tableId),
    `${openCapture(m, table)}
  IF current_setting('session_replication_role') = 'replica' THEN
    ${refuse(m, REPLICATION_TARGET)}
  END IF;
  IF TG_OP <> 'INSERT' THEN${recordRow('OLD')}
  END IF;
  IF TG_OP <> 'DELETE' THEN${recordRow('NEW')}
  END IF;
  RETURN NULL;
END`,
  );
}

/** Beginning of a capture function: outside of a bundle it raises, and of a push's own statement it ends. */
function openCapture(m: MetadataNames, table: CapturedTable): string {
  const skip = `
  IF pg_trigger_depth() = 1 AND '${String(table.tableId)}' = ANY (string_to_array(current_setting('${CONTEXT_SETTINGS.applyTableId}', true), ',')) THEN
    RETURN NULL;
  END IF;`;
  return `
DECLARE
  context_scope text;
  context_pk int8;
  context_token uuid;
BEGIN${requireContext(m)}${table.capturesPushes ? '' : skip}`;
}

/** `source` is a query with the column `key_bytes`. */
function recordKeys(m: MetadataNames, table: CapturedTable, source: string): string {
  return `
    INSERT INTO ${m.capture} (scope_pk, token, ordinal, table_id, key_bytes)
    SELECT context_pk, context_token, nextval(${quoteLiteral(m.captureOrdinalSequence)}), ${String(table.tableId)}, k.key_bytes
    FROM (${source}) AS k;`;
}

/** TRUNCATE tells no keys, so it is never allowed; a replication apply worker fires no statement triggers, so neither is it. */
export function refusalFunctions(m: MetadataNames): readonly FunctionDefinition[] {
  return [
    triggerFunction('refuse_truncate', `\nBEGIN\n  ${refuse(m, 'a registered table cannot be truncated')}\nEND`),
    triggerFunction('refuse_replica', `\nBEGIN\n  ${refuse(m, REPLICATION_TARGET)}\nEND`),
  ];
}

function triggerFunction(name: string, body: string): FunctionDefinition {
  return { name, args: '', returns: 'trigger', volatility: 'v', isStrict: false, securityDefiner: true, body };
}

/** A wanted trigger, in the terms in which `pg_trigger` describes an existing one. */
export interface TriggerDefinition {
  readonly name: string;
  readonly functionName: string;
  /** `tgtype` bits: 1 row, 2 before, 4 insert, 8 delete, 16 update, 32 truncate. */
  readonly type: number;
  /** `tgenabled`: A always, R replica. */
  readonly enabled: 'A' | 'R';
  readonly oldTable: string | null;
  readonly newTable: string | null;
  /** Text after `CREATE TRIGGER name`, up to `ON`. */
  readonly event: string;
}

const CAPTURE_TRIGGERS = [
  { name: 'oversync_capture_insert', type: 4, event: 'AFTER INSERT', oldTable: null, newTable: 'new_rows' },
  { name: 'oversync_capture_delete', type: 8, event: 'AFTER DELETE', oldTable: 'old_rows', newTable: null },
  { name: 'oversync_capture_update', type: 16, event: 'AFTER UPDATE', oldTable: 'old_rows', newTable: 'new_rows' },
] as const;

/**
 * Triggers of one relation of a registered table. Statement triggers exist on roots and on partitions, because a write aimed
 * at a partition does not fire those of its root; the row trigger only where rows are stored.
 */
export function relationTriggers(tableId: number, storesRows: boolean): readonly TriggerDefinition[] {
  const capture = CAPTURE_TRIGGERS.map((trigger) => ({
    ...trigger,
    functionName: captureFunctionName(tableId),
    enabled: 'A' as const,
  }));
  const none = { oldTable: null, newTable: null };
  const truncate = {
    ...none,
    name: 'oversync_refuse_truncate',
    functionName: 'refuse_truncate',
    type: 2 | 32,
    enabled: 'A' as const,
    event: 'BEFORE TRUNCATE',
  };
  const replica = {
    ...none,
    name: 'oversync_refuse_replica',
    functionName: 'refuse_replica',
    type: 1 | 2 | 4 | 8 | 16,
    enabled: 'R' as const,
    event: 'BEFORE INSERT OR UPDATE OR DELETE',
  };
  return storesRows ? [...capture, truncate, replica] : [...capture, truncate];
}

/** Name of the trigger that a partitioned table hands on; it is off where a partition has its own. */
export const ROW_CAPTURE_TRIGGER = 'oversync_capture_row';

/** Since this version a role that owns a partition may turn off what its root has handed on. */
export const ROW_CAPTURE_VERSION_MIN = 150_000;

/** The trigger of a partitioned table that reaches partitions as they come. */
export function rowCaptureTrigger(tableId: number): TriggerDefinition {
  return {
    name: ROW_CAPTURE_TRIGGER,
    functionName: rowCaptureFunctionName(tableId),
    type: 1 | 4 | 8 | 16,
    enabled: 'A',
    oldTable: null,
    newTable: null,
    event: 'AFTER INSERT OR UPDATE OR DELETE',
  };
}

/** Switches a trigger of one relation, and not of its partitions: D never fires, A always. */
export function switchTriggerSql(relation: string, name: string, enabled: 'A' | 'D'): string {
  return `ALTER TABLE ONLY ${relation} ${enabled === 'A' ? 'ENABLE ALWAYS' : 'DISABLE'} TRIGGER ${quoteIdentifier(name)}`;
}

/** Statements that create one trigger; `relation` is quoted and qualified. */
export function createTriggerSql(m: MetadataNames, relation: string, trigger: TriggerDefinition): readonly string[] {
  const referencing = [
    ...(trigger.oldTable === null ? [] : [`OLD TABLE AS ${trigger.oldTable}`]),
    ...(trigger.newTable === null ? [] : [`NEW TABLE AS ${trigger.newTable}`]),
  ];
  const transition = referencing.length === 0 ? '' : ` REFERENCING ${referencing.join(' ')}`;
  const level = (trigger.type & 1) === 1 ? 'ROW' : 'STATEMENT';
  return [
    `CREATE TRIGGER ${trigger.name} ${trigger.event} ON ${relation}${transition} FOR EACH ${level} EXECUTE FUNCTION ${m.schema}.${trigger.functionName}()`,
    `ALTER TABLE ${relation} ENABLE ${trigger.enabled === 'A' ? 'ALWAYS' : 'REPLICA'} TRIGGER ${trigger.name}`,
  ];
}

export function dropTriggerSql(relation: string, name: string): string {
  return `DROP TRIGGER ${quoteIdentifier(name)} ON ${relation}`;
}
