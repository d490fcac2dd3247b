/** Compares the functions, triggers and defaults that exist with the wanted ones; an unchanged database gives an empty plan. */
import type { CatalogFacts, RelationFact, TriggerFact } from '../rules/catalog-facts.ts';
import { quoteIdentifier, quoteQualified } from '../rules/sql-text.ts';
import { SCOPE_COLUMN } from '../rules/table-description.ts';
import {
  captureFunction,
  createTriggerSql,
  dropTriggerSql,
  refusalFunctions,
  relationTriggers,
  ROW_CAPTURE_TRIGGER,
  ROW_CAPTURE_VERSION_MIN,
  rowCaptureFunction,
  rowCaptureTrigger,
  SCOPE_DEFAULT_SQL,
  switchTriggerSql,
} from './capture.sql.ts';
import type { CapturedTable, TriggerDefinition } from './capture.sql.ts';
import { renderFunctionDefinitions } from './float.sql.ts';
import { createFunctionSql, OWN_SEARCH_PATH } from './functions.sql.ts';
import type { FunctionDefinition } from './functions.sql.ts';
import type { MetadataNames } from './metadata.sql.ts';
import { smallPushFunctions } from './small-push-functions.sql.ts';

/** A registered table with the relation that carries it. */
export interface InstalledTable extends CapturedTable {
  readonly rootOid: string;
}

/** Relations whose rows live in the relation itself. */
const ORDINARY = 'r';
const PARTITIONED = 'p';

export function planFunctions(m: MetadataNames, facts: CatalogFacts, tables: readonly InstalledTable[]): readonly string[] {
  const wanted = [
    ...renderFunctionDefinitions(),
    ...refusalFunctions(m),
    ...smallPushFunctions(m),
    ...tables.map((table) => captureFunction(m, table)),
    ...tables.filter((table) => handsTriggersOn(facts, table)).map((table) => rowCaptureFunction(m, table)),
  ];
  return wanted
    .filter((definition) => !isFunctionCurrent(facts, definition))
    .map((definition) => createFunctionSql(m.schema, definition));
}

function isFunctionCurrent(facts: CatalogFacts, wanted: FunctionDefinition): boolean {
  return facts.functions.some(
    (found) =>
      found.name === wanted.name &&
      found.args === wanted.args &&
      found.volatility === wanted.volatility &&
      found.isStrict === wanted.isStrict &&
      found.securityDefiner === wanted.securityDefiner &&
      found.config === `search_path=${OWN_SEARCH_PATH}` &&
      found.body === wanted.body,
  );
}

/** Whether new partitions of the table get a trigger from it. */
function handsTriggersOn(facts: CatalogFacts, table: InstalledTable): boolean {
  const root = facts.relations.find((relation) => relation.oid === table.rootOid);
  return root?.kind === PARTITIONED && facts.server.versionNumber >= ROW_CAPTURE_VERSION_MIN;
}

/**
 * Triggers and defaults of one table and its partitions, each with the relation that its statements lock. The table comes first, as it
 * does wherever PostgreSQL itself locks both.
 */
export function planRelations(
  m: MetadataNames,
  facts: CatalogFacts,
  table: InstalledTable,
): readonly { readonly relation: RelationFact; readonly statements: readonly string[] }[] {
  const relations = facts.relations.filter((relation) => relation.rootOid === table.rootOid);
  return [...relations.filter(({ oid }) => oid === table.rootOid), ...relations.filter(({ oid }) => oid !== table.rootOid)]
    .map((relation) => ({
      relation,
      statements: [
        ...planTriggers(m, facts, relation, table),
        ...planHandedOn(facts, relation, table),
        ...planScopeDefault(facts, relation),
      ],
    }))
    .filter((plan) => plan.statements.length > 0);
}

function planTriggers(m: MetadataNames, facts: CatalogFacts, relation: RelationFact, table: InstalledTable): readonly string[] {
  const name = quoteQualified(relation.schema, relation.name);
  const isRoot = relation.oid === table.rootOid;
  const wanted = [
    ...relationTriggers(table.tableId, relation.kind === ORDINARY),
    ...(isRoot && handsTriggersOn(facts, table) ? [rowCaptureTrigger(table.tableId)] : []),
  ];
  const own = facts.triggers.filter(
    (trigger) =>
      trigger.relationOid === relation.oid &&
      trigger.functionSchema === facts.server.metadata.schema &&
      (isRoot || trigger.name !== ROW_CAPTURE_TRIGGER),
  );
  const stale = own.filter((found) => !wanted.some((definition) => isTriggerCurrent(found, definition)));
  const missing = wanted.filter((definition) => !own.some((found) => isTriggerCurrent(found, definition)));
  return [
    ...stale.map((found) => dropTriggerSql(name, found.name)),
    ...missing.flatMap((definition) => createTriggerSql(m, name, definition)),
  ];
}

/**
 * Turns off what the table has handed on to a partition that has its own triggers now: two of them would take every key twice. It stays on
 * in partitions that have partitions of their own, because those of the future get it from there. Right after the table itself got the
 * trigger only the next look knows who was handed it: a partition that is just being detached is not.
 */
function planHandedOn(facts: CatalogFacts, relation: RelationFact, table: InstalledTable): readonly string[] {
  if (relation.oid === table.rootOid || !handsTriggersOn(facts, table)) return [];
  const find = (oid: string): TriggerFact | undefined =>
    facts.triggers.find((trigger) => trigger.relationOid === oid && trigger.name === ROW_CAPTURE_TRIGGER);
  const atRoot = find(table.rootOid);
  const isKept = atRoot !== undefined && isTriggerCurrent(atRoot, rowCaptureTrigger(table.tableId));
  const handedOn = find(relation.oid);
  const wanted = relation.kind === ORDINARY ? 'D' : 'A';
  if (!isKept || handedOn === undefined || handedOn.enabled === wanted) return [];
  return [switchTriggerSql(quoteQualified(relation.schema, relation.name), ROW_CAPTURE_TRIGGER, wanted)];
}

function isTriggerCurrent(found: TriggerFact, wanted: TriggerDefinition): boolean {
  return (
    found.name === wanted.name &&
    found.functionName === wanted.functionName &&
    found.type === wanted.type &&
    found.enabled === wanted.enabled &&
    (found.oldTable ?? null) === wanted.oldTable &&
    (found.newTable ?? null) === wanted.newTable
  );
}

function planScopeDefault(facts: CatalogFacts, relation: RelationFact): readonly string[] {
  const column = facts.columns.find(({ relationOid, name }) => relationOid === relation.oid && name === SCOPE_COLUMN);
  if (column?.defaultSql === SCOPE_DEFAULT_SQL) return [];
  const name = quoteQualified(relation.schema, relation.name);
  return [`ALTER TABLE ${name} ALTER COLUMN ${quoteIdentifier(SCOPE_COLUMN)} SET DEFAULT ${SCOPE_DEFAULT_SQL}`];
}

/**
 * $1 metadata schema, $2 oids text[] of the relations that keep theirs. Triggers of tables that are no longer registered; those that a
 * partition was handed go with the one of its root.
 */
export const STRAY_TRIGGERS_SQL = `
SELECT n.nspname, c.relname, t.tgname
FROM pg_trigger t
JOIN pg_proc p ON p.oid = t.tgfoid
JOIN pg_namespace f ON f.oid = p.pronamespace
JOIN pg_class c ON c.oid = t.tgrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND f.nspname = $1 AND t.tgrelid <> ALL ($2::text[]::oid[])
ORDER BY 1, 2, 3`;
