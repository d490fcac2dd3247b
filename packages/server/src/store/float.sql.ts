import type { FunctionDefinition } from './functions.sql.ts';

/**
 * Spells a finite double outside 1e-4 ≤ |x| < 1e15 as ECMAScript `Number::toString` does (RFC 8785).
 *
 * `float8out` gives correct digits but always with an exponent in that range, and for 2^53 ≤ |x| it may give a longer digit
 * string than the shortest one, because it does not use the borders of the rounding interval. Whether a shorter string still
 * reads back as the same double is tried by cutting the last digit and by cutting it and adding one. Above 1e60 the two
 * algorithms agree, and adding one near the largest double would overflow.
 */
export function floatTextBody(): string {
  return `
DECLARE
  magnitude float8 := abs(x);
  spelled text := magnitude::text;
  exponent int4 := split_part(spelled, 'e', 2)::int4;
  digits text := replace(split_part(spelled, 'e', 1), '.', '');
  cut text;
  unit text;
  plain text;
BEGIN
  IF magnitude >= 9007199254740992 AND magnitude < 1e60 THEN
    WHILE length(digits) > 1 LOOP
      cut := left(digits, -1);
      unit := 'e' || (exponent - length(cut) + 1)::text;
      IF (cut || unit)::float8 <> magnitude THEN
        cut := (cut::int8 + 1)::text;
        EXIT WHEN (cut || unit)::float8 <> magnitude;
        exponent := exponent + length(cut) - length(digits) + 1;
      END IF;
      digits := cut;
    END LOOP;
    digits := rtrim(digits, '0');
  END IF;
  plain := CASE
    WHEN exponent BETWEEN -6 AND -1 THEN '0.' || repeat('0', -exponent - 1) || digits
    WHEN exponent BETWEEN 0 AND 20 AND length(digits) <= exponent + 1 THEN rpad(digits, exponent + 1, '0')
    WHEN exponent BETWEEN 0 AND 20 THEN left(digits, exponent + 1) || '.' || substr(digits, exponent + 2)
    ELSE left(digits, 1) || CASE WHEN length(digits) > 1 THEN '.' || substr(digits, 2) ELSE '' END
      || CASE WHEN exponent < 0 THEN 'e' ELSE 'e+' END || exponent::text
  END;
  RETURN CASE WHEN x < 0 THEN '-' || plain ELSE plain END;
END`;
}

/** Raises for a value without a wire form. Volatile, so that the planner never evaluates it ahead of the row that needs it. */
export function notRepresentableBody(): string {
  return `
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'OV002', MESSAGE = 'value cannot be represented on the wire',
    SCHEMA = schema_name, TABLE = table_name, COLUMN = column_name, DETAIL = COALESCE(detail_text, '');
END`;
}

export function renderFunctionDefinitions(): readonly FunctionDefinition[] {
  return [
    {
      name: 'float_text',
      args: 'x double precision',
      returns: 'text',
      volatility: 'i',
      isStrict: true,
      securityDefiner: false,
      body: floatTextBody(),
    },
    {
      name: 'raise_not_representable',
      args: 'schema_name text, table_name text, column_name text, detail_text text',
      returns: 'text',
      volatility: 'v',
      isStrict: false,
      securityDefiner: false,
      body: notRepresentableBody(),
    },
  ];
}
