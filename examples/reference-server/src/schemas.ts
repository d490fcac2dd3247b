import type { RegisteredTableConfig } from '@oversync/server';

import { EXAMPLE_SCHEMA_SQL, REGISTERED_TABLES } from './example-schema.ts';
import { RICH_SCHEMA_SQL, RICH_TABLES } from './rich-schema.ts';

/** A schema that the server can serve. */
export interface BusinessSchema {
  /** Makes the schema `business` and its tables where they are absent. */
  readonly sql: string;
  readonly tables: readonly RegisteredTableConfig[];
}

/** The clients of other languages know neither of these two rules, so their suites may break them. */
const WITHOUT_OWN_RULES_SQL =
  'ALTER TABLE business.users DROP CONSTRAINT IF EXISTS users_email_key, DROP CONSTRAINT IF EXISTS users_name_not_empty;';

/** `places` is the one of the two-device story, `rich` the one that clients in other languages are tested against. */
export const BUSINESS_SCHEMAS = {
  places: { sql: EXAMPLE_SCHEMA_SQL, tables: REGISTERED_TABLES },
  rich: { sql: RICH_SCHEMA_SQL + WITHOUT_OWN_RULES_SQL, tables: RICH_TABLES },
} as const satisfies Readonly<Record<string, BusinessSchema>>;

export type BusinessSchemaName = keyof typeof BUSINESS_SCHEMAS;
