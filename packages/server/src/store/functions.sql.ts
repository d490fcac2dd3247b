/** The one form of a function of the metadata schema: bootstrap creates it and compares it with `pg_proc`. */

/** Names in a body are the built-in ones or qualified; temporary objects come last, so that they shadow nothing. */
export const OWN_SEARCH_PATH = 'pg_catalog, pg_temp';

export interface FunctionDefinition {
  /** Unqualified name. */
  readonly name: string;
  /** Argument list as SQL, e.g. `x float8`; empty for a trigger function. */
  readonly args: string;
  readonly returns: string;
  readonly volatility: 'i' | 'v';
  readonly isStrict: boolean;
  /** Trigger functions run as the bootstrap role, so that a write by any role is judged and counted in the same way. */
  readonly securityDefiner: boolean;
  /** Text between the dollar quotes. */
  readonly body: string;
}

/** `CREATE OR REPLACE` for one definition; `schema` is quoted. */
export function createFunctionSql(schema: string, definition: FunctionDefinition): string {
  return [
    `CREATE OR REPLACE FUNCTION ${schema}.${definition.name}(${definition.args}) RETURNS ${definition.returns}`,
    `LANGUAGE plpgsql ${definition.volatility === 'i' ? 'IMMUTABLE' : 'VOLATILE'}`,
    definition.isStrict ? 'STRICT' : 'CALLED ON NULL INPUT',
    definition.securityDefiner ? 'SECURITY DEFINER' : 'SECURITY INVOKER',
    `SET search_path = ${OWN_SEARCH_PATH}`,
    `AS $oversync$${definition.body}$oversync$`,
  ].join('\n');
}
