/**
 * Reads of `pg_catalog`. They run with `search_path = pg_catalog`, so that type names and expressions come out qualified.
 * `information_schema` is not used: it hides what the role may not touch.
 */

/** No parameters but $1 the metadata schema's name. One row: see `readServerFacts`. */
export const SERVER_FACTS_SQL = `
SELECT current_setting('server_version_num'), pg_encoding_to_char(d.encoding), current_user, d.datname,
  has_database_privilege(d.oid, 'CREATE'),
  n.oid IS NOT NULL,
  n.oid IS NULL OR NOT (EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid) OR EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = n.oid)),
  n.oid IS NOT NULL AND has_schema_privilege(n.oid, 'USAGE'),
  n.oid IS NOT NULL AND has_schema_privilege(n.oid, 'CREATE'),
  (SELECT count(*) = 3 FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = n.oid AND c.relname = 'meta' AND c.relkind = 'r' AND NOT a.attisdropped
      AND a.attname IN ('layout', 'version', 'token_secret'))
FROM pg_database d LEFT JOIN pg_namespace n ON n.nspname = $1
WHERE d.datname = current_database()`;

/** $1 schemas text[], $2 tables text[]. Configured relations and all partitions below them. */
export const RELATIONS_SQL = `
WITH RECURSIVE tree AS (
  SELECT c.oid AS root_oid, c.oid AS relation_oid
  FROM unnest($1::text[], $2::text[]) AS w (schema_name, table_name)
  JOIN pg_namespace n ON n.nspname = w.schema_name
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.table_name AND c.relkind NOT IN ('i', 'I', 't', 'c')
  UNION
  SELECT t.root_oid, i.inhrelid
  FROM tree t
  JOIN pg_inherits i ON i.inhparent = t.relation_oid
  JOIN pg_class child ON child.oid = i.inhrelid AND child.relispartition
)
SELECT t.relation_oid, t.root_oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.relispartition,
  EXISTS (SELECT FROM pg_inherits i JOIN pg_class child ON child.oid = i.inhrelid AND NOT child.relispartition
    WHERE i.inhrelid = c.oid OR i.inhparent = c.oid),
  c.relkind IN ('r', 'p') AND row_security_active(c.oid),
  EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN'),
  has_schema_privilege(n.oid, 'USAGE'),
  has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE')
    AND has_table_privilege(c.oid, 'DELETE'),
  pg_has_role(c.relowner, 'USAGE'), pg_get_userbyid(c.relowner)
FROM tree t JOIN pg_class c ON c.oid = t.relation_oid JOIN pg_namespace n ON n.oid = c.relnamespace
ORDER BY t.root_oid, t.relation_oid`;

/** $1 relation oids text[]. Live user columns, types resolved through domains. */
export const COLUMNS_SQL = `
WITH RECURSIVE relation AS (SELECT unnest($1::text[])::oid AS oid), resolved AS (
  SELECT DISTINCT a.atttypid AS declared, t.oid AS type_oid, t.typtype = 'd' AS is_domain,
    t.typtype = 'd' AND t.typnotnull AS not_null, t.typtype = 'd' AND t.typdefault IS NOT NULL AS has_default
  FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_type t ON t.oid = a.atttypid
  UNION ALL
  SELECT r.declared, b.oid, r.is_domain, r.not_null OR (b.typtype = 'd' AND b.typnotnull), r.has_default OR (b.typtype = 'd' AND b.typdefault IS NOT NULL)
  FROM resolved r JOIN pg_type t ON t.oid = r.type_oid AND t.typtype = 'd' JOIN pg_type b ON b.oid = t.typbasetype
)
SELECT a.attrelid, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), t.typname, tn.nspname,
  CASE WHEN t.typcategory = 'A' THEN 'a' ELSE t.typtype END, b.is_domain,
  a.attnotnull, b.not_null, (a.atthasdef AND a.attgenerated = '') OR a.attidentity <> '' OR b.has_default,
  CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END,
  a.attgenerated <> '', a.attidentity,
  CASE WHEN l.oid IS NOT NULL THEN quote_ident(ln.nspname) || '.' || quote_ident(l.collname) END, COALESCE(l.collisdeterministic, true),
  a.atthasmissing
FROM relation r
JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN resolved b ON b.declared = a.atttypid
JOIN pg_type t ON t.oid = b.type_oid AND t.typtype <> 'd'
JOIN pg_namespace tn ON tn.oid = t.typnamespace
LEFT JOIN pg_collation l ON l.oid = a.attcollation
LEFT JOIN pg_namespace ln ON ln.oid = l.collnamespace
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
ORDER BY a.attrelid, a.attnum`;

/** $1 relation oids text[]. */
export const INDEXES_SQL = `
SELECT i.indrelid, n.nspname, c.relname, i.indisunique, i.indisexclusion, i.indisvalid AND i.indisready AND i.indislive,
  i.indpred IS NOT NULL, i.indexprs IS NOT NULL,
  array_to_string((i.indkey::int2[])[0:i.indnkeyatts - 1], ','),
  c.relispartition, k.conname, CASE WHEN k.oid IS NOT NULL THEN pg_get_constraintdef(k.oid) END, NOT i.indimmediate,
  EXISTS (SELECT FROM pg_constraint f WHERE f.contype = 'f' AND f.conindid = i.indexrelid),
  (SELECT string_agg(o.oprname, ',' ORDER BY e.position) FROM unnest(k.conexclop) WITH ORDINALITY AS e (operator_oid, position)
    JOIN pg_operator o ON o.oid = e.operator_oid)
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x')
WHERE i.indrelid = ANY ($1::text[]::oid[])
ORDER BY i.indrelid, c.relname`;

/** $1 relation oids text[]. Inherited constraints of partitions are judged at the root. `confdelsetcols` exists since 15. */
export const FOREIGN_KEYS_SQL = `
SELECT k.conrelid, k.conname, array_to_string(k.conkey, ','), k.confrelid, n.nspname, p.relname,
  (SELECT json_agg(a.attname ORDER BY r.position) FROM unnest(k.confkey) WITH ORDINALITY AS r (attribute, position)
    JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = r.attribute),
  k.confdeltype, k.confupdtype,
  (SELECT string_agg(v, ',') FROM jsonb_array_elements_text(COALESCE(NULLIF(to_jsonb(k) -> 'confdelsetcols', 'null'), '[]')) AS v),
  k.confmatchtype, k.condeferrable, k.convalidated, pg_get_constraintdef(k.oid)
FROM pg_constraint k
JOIN pg_class p ON p.oid = k.confrelid
JOIN pg_namespace n ON n.oid = p.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 AND k.conrelid = ANY ($1::text[]::oid[])
ORDER BY k.conrelid, k.conname`;

/** $1 relation oids text[]. */
export const TRIGGERS_SQL = `
SELECT t.tgrelid, t.tgname, n.nspname, p.proname, t.tgtype, t.tgenabled, t.tgoldtable, t.tgnewtable
FROM pg_trigger t
JOIN pg_proc p ON p.oid = t.tgfoid
JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE NOT t.tgisinternal AND t.tgrelid = ANY ($1::text[]::oid[])
ORDER BY t.tgrelid, t.tgname`;

/** $1 metadata schema. */
export const FUNCTIONS_SQL = `
SELECT p.proname, pg_get_function_arguments(p.oid), p.provolatile, p.proisstrict, p.prosecdef, COALESCE(array_to_string(p.proconfig, ';'), ''), p.prosrc
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = $1
ORDER BY p.proname`;

/**
 * $1 metadata schema. Held to the end of the transaction. Derived from the schema's name: deployments with different metadata schemas
 * in one database do not wait for each other.
 */
export const BOOTSTRAP_LOCK_SQL = `SELECT pg_advisory_xact_lock(hashtextextended('oversync bootstrap ' || $1, 0))`;
