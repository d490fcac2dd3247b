/** Statements that are sent again and again with other values, in a form that a driver can keep prepared. */
import type { PgStatement } from '../ports/postgres.ts';
import { quoteLiteral } from './sql-text.ts';

/** Types of the values that statements take. */
export type BoundType = 'int4' | 'int8' | 'text' | 'uuid' | 'jsonb' | 'bool' | 'regclass';

/** SQL that takes the place of a value, with the same text and so the same plan. It may not look at tables. */
export interface SqlTerm {
  readonly sql: string;
}

/** Puts a value into a statement and returns what stands for it in the text. */
export type Bind = (type: BoundType, value: string | number | bigint | SqlTerm | null) => string;

/**
 * Makes a statement from its text. `build` must not let a value into the text in any other way than through `bind`: equal texts
 * share a plan.
 */
export function bindStatement(build: (bind: Bind) => string): PgStatement {
  const types: BoundType[] = [];
  const literals: string[] = [];
  const text = build((type, value) => {
    types.push(type);
    literals.push(formatLiteral(value));
    return `$${String(types.length)}::${type}`;
  });
  return {
    text,
    types,
    literals,
    get inline() {
      return build((type, value) => `${formatLiteral(value)}::${type}`);
    },
  };
}

/** A value with its type. */
export type BoundValue = readonly [type: BoundType, value: string | number | bigint | SqlTerm | null];

/** Quoted identifiers and constants, which may hold what looks like a parameter, and parameters. */
const QUOTED_OR_PARAMETER = /"(?:[^"]|"")*"|'(?:[^']|'')*'|\$(\d+)/g;

/** {@link bindStatement} for a text whose parameters stand in it as `$1 …`, with their casts. */
export function bindNumbered(text: string, values: readonly BoundValue[]): PgStatement {
  const literals = values.map(([, value]) => formatLiteral(value));
  return {
    text,
    types: values.map(([type]) => type),
    literals,
    get inline() {
      return replaceParameters(text, (number) => literals[number - 1] ?? `$${String(number)}`);
    },
  };
}

/** Puts something else in the place of each parameter of a text. */
export function replaceParameters(text: string, replace: (number: number) => string): string {
  return text.replaceAll(QUOTED_OR_PARAMETER, (found: string, number?: string) =>
    number === undefined ? found : replace(Number(number)),
  );
}

function formatLiteral(value: string | number | bigint | SqlTerm | null): string {
  if (typeof value === 'object') return value === null ? 'NULL' : value.sql;
  return quoteLiteral(String(value));
}
