/**
 * The metadata schema (server.md 5). Rules that hold for all of it:
 *
 * - `scope_pk` leads the key of every per-scope table and each statement of a request names one, so that the tables can be
 *   partitioned or distributed by scope. No foreign keys: they would cost every commit and tie tables together.
 * - Instants are written by the database clock only.
 * - Identity texts are COLLATE "C": compared byte for byte whatever the database's locale.
 * - UNLOGGED tables hold what may vanish in a crash, always session and content together: a client whose session is gone
 *   starts again, one whose content alone is gone would get a final answer.
 */
import type { RenderFunctions } from '../rules/render-sql.ts';
import { quoteIdentifier } from '../rules/sql-text.ts';

/** Schema-qualified, quoted names of everything in the metadata schema. */
export interface MetadataNames extends RenderFunctions {
  /** The schema itself, quoted. */
  readonly schema: string;
  readonly meta: string;
  readonly migration: string;
  readonly registeredTable: string;
  readonly tableShape: string;
  readonly scope: string;
  readonly source: string;
  readonly sourceBinding: string;
  readonly rowState: string;
  readonly tombstone: string;
  readonly bundle: string;
  readonly bundleBlock: string;
  readonly pushSession: string;
  readonly pushRow: string;
  readonly snapshotSession: string;
  readonly snapshotImage: string;
  readonly snapshotBlock: string;
  readonly capture: string;
  readonly writeReceipt: string;
  readonly stat: string;
  /** Sequences; for `nextval` the name goes through `quoteLiteral`. */
  readonly scopePkSequence: string;
  readonly tableIdSequence: string;
  readonly captureOrdinalSequence: string;
  /** Counts refused foreign writes: `nextval` outlives the rollback that the refusal causes. */
  readonly rejectedWriteSequence: string;
}

export function metadataNames(schema: string): MetadataNames {
  const quoted = quoteIdentifier(schema);
  const name = (table: string): string => `${quoted}.${table}`;
  return {
    schema: quoted,
    meta: name('meta'),
    migration: name('migration'),
    registeredTable: name('registered_table'),
    tableShape: name('table_shape'),
    scope: name('scope'),
    source: name('source'),
    sourceBinding: name('source_binding'),
    rowState: name('row_state'),
    tombstone: name('tombstone'),
    bundle: name('bundle'),
    bundleBlock: name('bundle_block'),
    pushSession: name('push_session'),
    pushRow: name('push_row'),
    snapshotSession: name('snapshot_session'),
    snapshotImage: name('snapshot_image'),
    snapshotBlock: name('snapshot_block'),
    capture: name('capture'),
    writeReceipt: name('write_receipt'),
    stat: name('stat'),
    scopePkSequence: name('scope_pk_seq'),
    tableIdSequence: name('table_id_seq'),
    captureOrdinalSequence: name('capture_ordinal_seq'),
    rejectedWriteSequence: name('rejected_write_seq'),
    floatText: name('float_text'),
    notRepresentable: name('raise_not_representable'),
  };
}

/** Layout, versions and secrets of the schema, and what the host registered. */
function catalogDdl(m: MetadataNames): string {
  return `
CREATE TABLE ${m.meta} (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  layout text NOT NULL,                         -- name of this product's layout: tells a foreign schema of the same name
  version int4 NOT NULL,                        -- highest applied migration
  token_secret bytea NOT NULL CHECK (octet_length(token_secret) = 32), -- key of the checksums in session tokens
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE ${m.migration} (
  version int4 PRIMARY KEY,
  name text NOT NULL,
  checksum text NOT NULL,                       -- SHA-256 of the migration's statements, so that a changed one is noticed
  applied_at timestamptz NOT NULL DEFAULT now()
);

CREATE SEQUENCE ${m.tableIdSequence} AS int4;

CREATE TABLE ${m.registeredTable} (
  table_id int4 PRIMARY KEY,                    -- never reused; orders the rows of a snapshot
  schema_name text COLLATE "C" NOT NULL,
  table_name text COLLATE "C" NOT NULL,
  key_column text COLLATE "C" NOT NULL,
  key_kind int2 NOT NULL CHECK (key_kind IN (1, 2)), -- 1 uuid, 2 text
  is_active boolean NOT NULL,                   -- false while the host does not register it; the id stays reserved
  shape_id int4 NOT NULL,                       -- current shape
  adopted_at timestamptz,                       -- rows from before registration have metadata; later starts skip the scan
  adoption_cursor text COLLATE "C",             -- scopes up to this id are adopted; null before the first and after the last
  UNIQUE (schema_name, table_name)
);

CREATE TABLE ${m.tableShape} (
  table_id int4 NOT NULL,
  shape_id int4 NOT NULL,                       -- 1, 2, 3 … per table
  columns jsonb NOT NULL,                       -- [{name, family, jsonAsText, missingValue}] sorted by name; missingValue is wire JSON text
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (table_id, shape_id)
);

CREATE TABLE ${m.stat} (
  name text COLLATE "C" NOT NULL,
  shard int4 NOT NULL,                          -- spreads hot counters over rows
  value int8 NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (name, shard)
);

CREATE SEQUENCE ${m.rejectedWriteSequence};
`;
}

/** Scopes, their writers, and the version of every row. */
function scopeDdl(m: MetadataNames): string {
  return `
CREATE SEQUENCE ${m.scopePkSequence};

CREATE TABLE ${m.scope} (
  scope_pk int8 PRIMARY KEY,                    -- from scope_pk_seq, taken only after a look-up found no row
  scope_id text COLLATE "C" NOT NULL UNIQUE,    -- the host's id, byte for byte
  state text NOT NULL CHECK (state IN ('uninitialized', 'initializing', 'initialized')),
  lease_source_id text COLLATE "C",             -- who seeds; the three lease columns are set exactly while initializing
  initialization_id uuid,
  lease_expires_at timestamptz,                 -- expiry is computed from this, never written
  head int8 NOT NULL DEFAULT 0 CHECK (head >= 0),
  floor int8 NOT NULL DEFAULT 0,                -- bundles at or below are unavailable, whatever is still stored
  pruned_to int8 NOT NULL DEFAULT 0,            -- maintenance has deleted bundles and tombstones up to here
  bundle_count int8 NOT NULL DEFAULT 0,         -- ever committed
  bundle_bytes int8 NOT NULL DEFAULT 0,         -- canonical bytes ever committed
  wire_bytes int8 NOT NULL DEFAULT 0,           -- row text bytes ever committed; equals wire_bytes_total of the last bundle
  created_at timestamptz NOT NULL DEFAULT now(),
  CHECK (floor BETWEEN 0 AND head),
  CHECK ((state = 'initializing') = (lease_source_id IS NOT NULL AND initialization_id IS NOT NULL AND lease_expires_at IS NOT NULL))
) WITH (fillfactor = 50);                       -- updated by every commit: room for HOT updates

CREATE TABLE ${m.source} (
  scope_pk int8 NOT NULL,
  source_id text COLLATE "C" NOT NULL,
  state text NOT NULL CHECK (state IN ('reserved', 'active', 'retired')),
  kind text NOT NULL CHECK (kind IN ('client', 'server')), -- fixed by first use
  watermark int8 NOT NULL DEFAULT 0,            -- last committed source_bundle_id
  replaced_by_source_id text COLLATE "C",       -- retired only
  reason text,                                  -- retired only: why it was replaced
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (scope_pk, source_id)
) WITH (fillfactor = 70);

CREATE TABLE ${m.sourceBinding} (
  scope_pk int8 NOT NULL,
  source_id text COLLATE "C" NOT NULL,
  user_id text COLLATE "C" NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (scope_pk, source_id)
);

CREATE TABLE ${m.rowState} (
  scope_pk int8 NOT NULL,
  table_id int4 NOT NULL,
  key_bytes bytea NOT NULL,                     -- 16 raw bytes of a uuid, or the UTF-8 bytes of a text key
  version int8 NOT NULL,                        -- last bundle that touched the key
  deleted boolean NOT NULL,                     -- tombstone
  PRIMARY KEY (scope_pk, table_id, key_bytes)
) WITH (fillfactor = 55);                       -- versions are updated in place; no second index, it would end HOT updates

CREATE TABLE ${m.tombstone} (
  scope_pk int8 NOT NULL,
  version int8 NOT NULL,                        -- bundle of the delete; stale when row_state has moved on
  table_id int4 NOT NULL,
  key_bytes bytea NOT NULL,
  PRIMARY KEY (scope_pk, version, table_id, key_bytes)
);                                              -- finds what may be purged without an index on row_state
`;
}

/** Committed bundles: headers, and the wire rows in blocks. */
function bundleDdl(m: MetadataNames): string {
  return `
CREATE TABLE ${m.bundle} (
  scope_pk int8 NOT NULL,
  bundle_seq int8 NOT NULL,
  source_id text COLLATE "C" NOT NULL,
  source_bundle_id int8 NOT NULL,
  row_count int4 NOT NULL,
  bundle_hash text NOT NULL,
  canonical_request_hash text NOT NULL,         -- '' for a server write without one
  operation_hash text,                          -- server writes: what the caller says the operation is
  canonical_bytes int8 NOT NULL,                -- length of the hashed bytes
  wire_bytes int8 NOT NULL,                     -- row texts with one separator between rows
  wire_bytes_total int8 NOT NULL,               -- running sum in the scope: sizes of a range need two look-ups
  committed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
  PRIMARY KEY (scope_pk, bundle_seq),
  UNIQUE (scope_pk, source_id, source_bundle_id)
);

CREATE TABLE ${m.bundleBlock} (
  scope_pk int8 NOT NULL,
  bundle_seq int8 NOT NULL,
  first_row_ordinal int4 NOT NULL,
  row_count int4 NOT NULL,
  shape_keys text[] NOT NULL,                   -- distinct 'table_id:shape_id' of the rows: tells cheaply whether any row is of an older shape
  row_lengths int4[] NOT NULL,                  -- UTF-8 octets of each row text, in order
  row_texts text NOT NULL,                      -- wire rows joined by one comma, ready to be sent
  PRIMARY KEY (scope_pk, bundle_seq, first_row_ordinal)
);
ALTER TABLE ${m.bundleBlock} ALTER COLUMN row_texts SET STORAGE EXTERNAL, ALTER COLUMN row_lengths SET STORAGE MAIN;

CREATE TABLE ${m.writeReceipt} (
  scope_pk int8 NOT NULL,
  operation_id uuid NOT NULL,
  operation_hash text NOT NULL,
  result text NOT NULL,                         -- JSON of the stored answer
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (scope_pk, operation_id)
);
`;
}

/** Pushes on their way in. */
function pushDdl(m: MetadataNames): string {
  return `
CREATE UNLOGGED TABLE ${m.pushSession} (
  scope_pk int8 NOT NULL,
  push_id uuid NOT NULL,
  source_id text COLLATE "C" NOT NULL,
  source_bundle_id int8 NOT NULL,
  planned_row_count int4 NOT NULL,
  canonical_request_hash text NOT NULL,
  initialization_id uuid,                       -- seed pushes only
  next_row_ordinal int4 NOT NULL DEFAULT 0,     -- rows staged so far
  staged_bytes int8 NOT NULL DEFAULT 0,         -- canonical bytes of the staged rows, commas included
  row_layout text,                              -- catalog row layout of the staged row literals; null while nothing is staged
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (scope_pk, push_id),
  UNIQUE (scope_pk, source_id)                  -- one open push per source
) WITH (fillfactor = 50);

CREATE UNLOGGED TABLE ${m.pushRow} (
  scope_pk int8 NOT NULL,
  push_id uuid NOT NULL,
  row_ordinal int4 NOT NULL,
  table_id int4 NOT NULL,
  op text COLLATE "C" NOT NULL,                 -- INSERT, UPDATE, DELETE
  key_bytes bytea NOT NULL,
  key_text text COLLATE "C" NOT NULL,           -- the wire form of the key
  base_row_version int8 NOT NULL,
  column_set text COLLATE "C" NOT NULL,         -- which columns the row sets; rows with equal text are applied by one statement
  canonical_text text NOT NULL,                 -- canonical request row of protocol.md 6.2
  apply_text text,                              -- literal of the table's row type, null for DELETE
  PRIMARY KEY (scope_pk, push_id, row_ordinal)
);
ALTER TABLE ${m.pushRow} ALTER COLUMN canonical_text SET STORAGE EXTERNAL, ALTER COLUMN apply_text SET STORAGE EXTERNAL;

CREATE SEQUENCE ${m.captureOrdinalSequence} CACHE 256;

CREATE UNLOGGED TABLE ${m.capture} (
  scope_pk int8 NOT NULL,
  token uuid NOT NULL,                          -- one bundle transaction attempt
  ordinal int8 NOT NULL,                        -- order of capture inside the transaction
  table_id int4 NOT NULL,
  key_bytes bytea NOT NULL,
  captured_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (scope_pk, token, ordinal)
);
`;
}

/** Frozen images of scopes and the sessions that read them. */
function snapshotDdl(m: MetadataNames): string {
  return `
CREATE UNLOGGED TABLE ${m.snapshotImage} (
  scope_pk int8 NOT NULL,
  image_id uuid NOT NULL DEFAULT gen_random_uuid(),
  bundle_seq int8 NOT NULL,
  shape_set text COLLATE "C" NOT NULL,          -- same head, other shapes: another image
  row_count int8 NOT NULL,
  byte_count int8 NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (scope_pk, image_id)
);

CREATE UNLOGGED TABLE ${m.snapshotBlock} (
  scope_pk int8 NOT NULL,
  image_id uuid NOT NULL,
  first_row_ordinal int8 NOT NULL,              -- rows before this block
  row_count int4 NOT NULL,
  row_lengths int4[] NOT NULL,
  row_texts text NOT NULL,                      -- wire rows of protocol.md 8.11 joined by one comma
  PRIMARY KEY (scope_pk, image_id, first_row_ordinal)
);
ALTER TABLE ${m.snapshotBlock} ALTER COLUMN row_texts SET STORAGE EXTERNAL, ALTER COLUMN row_lengths SET STORAGE MAIN;

CREATE UNLOGGED TABLE ${m.snapshotSession} (
  scope_pk int8 NOT NULL,
  snapshot_id uuid NOT NULL,
  image_id uuid NOT NULL,
  source_id text COLLATE "C" NOT NULL,
  bundle_seq int8 NOT NULL,
  row_count int8 NOT NULL,
  byte_count int8 NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz NOT NULL,              -- fixed at creation; deletion sets it to the past
  PRIMARY KEY (scope_pk, snapshot_id)
);
`;
}

/** All tables and sequences; the schema itself exists already. Run inside the bootstrap transaction. */
export function metadataDdl(m: MetadataNames): string {
  return [catalogDdl(m), scopeDdl(m), bundleDdl(m), pushDdl(m), snapshotDdl(m)].join('');
}
