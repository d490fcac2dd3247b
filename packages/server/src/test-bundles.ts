/** Bundle transactions for tests of this package, without HTTP: server writes, and pushes staged by hand. */
import { randomUUID } from 'node:crypto';

import { finaliseBundle } from './engine/finalise.ts';
import type { FinalisedBundle, FinaliseOptions } from './engine/finalise.ts';
import type { PgTransaction } from './ports/postgres.ts';
import type { Catalog } from './rules/table-description.ts';
import { applyTableSetting, bundleContextSettings, scopePkSetting } from './store/capture.sql.ts';
import { TEST_FINALISE_OPTIONS } from './test-pg.ts';
import type { PgFixture } from './test-pg.ts';

/** One pushed row; `apply` is what the push does to the table. */
export interface TestPushRow {
  readonly table: string;
  readonly op: 'INSERT' | 'UPDATE' | 'DELETE';
  readonly key: string;
}

export interface TestWrite {
  readonly scopeId: string;
  readonly sourceId?: string;
  /** Staged rows; `fn` then plays the part of the apply statements. */
  readonly push?: readonly TestPushRow[];
  readonly options?: Partial<FinaliseOptions>;
  readonly sqlHashBytesMax?: number;
}

export class BundleWriter {
  readonly #pg: PgFixture;
  catalog: Catalog;
  #nextSourceBundleId = 0n;

  constructor(pg: PgFixture, catalog: Catalog) {
    this.#pg = pg;
    this.catalog = catalog;
  }

  /** Runs `fn` in a bundle transaction and commits what it touched. */
  write(write: TestWrite, fn: (tx: PgTransaction) => Promise<unknown>): Promise<FinalisedBundle> {
    const captureToken = randomUUID();
    this.#nextSourceBundleId += 1n;
    const settings = bundleContextSettings({ scopeId: write.scopeId, captureToken });
    return this.#pg.transaction(async (tx) => {
      const { scopePk, head } = await lockScope(tx, write.scopeId);
      const push = write.push === undefined ? undefined : await this.#stage(tx, scopePk, write.push);
      await tx.script('SET CONSTRAINTS ALL DEFERRED');
      await fn(tx);
      const input = {
        scopePk,
        scopeId: write.scopeId,
        captureToken,
        head,
        sourceId: write.sourceId ?? 'test-source',
        sourceKind: 'client' as const,
        sourceBundleId: this.#nextSourceBundleId,
        canonicalRequestHash: '',
        ...(push === undefined ? {} : { push }),
      };
      const { sqlHashBytesMax } = write;
      const options = { ...TEST_FINALISE_OPTIONS, ...write.options };
      return finaliseBundle(
        tx,
        { catalog: this.catalog, options, ...(sqlHashBytesMax === undefined ? {} : { sqlHashBytesMax }) },
        input,
      );
    }, settings);
  }

  async #stage(
    tx: PgTransaction,
    scopePk: string,
    rows: readonly TestPushRow[],
  ): Promise<{ pushId: string; tableIds: readonly number[]; rowCount: number }> {
    const pushId = randomUUID();
    const tables = rows.map((row) => this.table(row.table));
    await tx.query(
      `INSERT INTO sync.push_row (scope_pk, push_id, row_ordinal, table_id, op, key_bytes, key_text, base_row_version, column_set, canonical_text)
       SELECT $1::int8, $2::uuid, i - 1, t::int4, o, CASE t_kind WHEN 'uuid' THEN uuid_send(k::uuid) ELSE convert_to(k, 'UTF8') END, k, 0, '', ''
       FROM unnest($3::text[], $4::text[], $5::text[], $6::text[]) WITH ORDINALITY AS u (t, t_kind, o, k, i)`,
      [
        scopePk,
        pushId,
        tables.map((table) => String(table.tableId)),
        tables.map((table) => table.keyKind),
        rows.map((row) => row.op),
        rows.map((row) => row.key),
      ],
    );
    return { pushId, tableIds: [...new Set(tables.map((table) => table.tableId))], rowCount: rows.length };
  }

  table(name: string): NonNullable<ReturnType<Catalog['byId']['get']>> {
    const table = this.catalog.tables.get(name);
    if (table === undefined) throw new Error(`no table ${name}`);
    return table;
  }

  /** What an apply statement runs under. */
  async apply(tx: PgTransaction, table: string, sql: string): Promise<void> {
    await tx.script(`${applyTableSetting(this.table(table).tableId)};${sql};${applyTableSetting(null)}`);
  }

  /** Wire rows of a bundle. */
  async rows(scopeId: string, bundleSeq: bigint): Promise<readonly Record<string, unknown>[]> {
    const { rows } = await this.#pg.query(
      `SELECT b.row_texts FROM sync.bundle_block b JOIN sync.scope s USING (scope_pk)
       WHERE s.scope_id = $1 AND b.bundle_seq = $2::int8 ORDER BY b.first_row_ordinal`,
      [scopeId, String(bundleSeq)],
    );
    return JSON.parse(`[${rows.map((row) => row[0]).join(',')}]`) as Record<string, unknown>[];
  }

  /** `table key version deleted` of every known key. */
  async states(scopeId: string): Promise<readonly string[]> {
    const { rows } = await this.#pg.query(
      `SELECT t.table_name || ' ' || CASE t.key_kind WHEN 1 THEN encode(r.key_bytes, 'hex')::uuid::text ELSE convert_from(r.key_bytes, 'UTF8') END
         || ' ' || r.version || ' ' || r.deleted
       FROM sync.row_state r JOIN sync.scope s USING (scope_pk) JOIN sync.registered_table t USING (table_id)
       WHERE s.scope_id = $1 ORDER BY r.table_id, r.key_bytes`,
      [scopeId],
    );
    return rows.map((row) => row[0] ?? '');
  }
}

async function lockScope(tx: PgTransaction, scopeId: string): Promise<{ scopePk: string; head: bigint }> {
  await tx.query(
    `INSERT INTO sync.scope (scope_pk, scope_id, state) SELECT nextval('sync.scope_pk_seq'), $1, 'initialized'
     WHERE NOT EXISTS (SELECT FROM sync.scope WHERE scope_id = $1)`,
    [scopeId],
  );
  const { rows } = await tx.query(
    `SELECT s.scope_pk, s.head, ${scopePkSetting('s.scope_pk')} FROM sync.scope s WHERE s.scope_id = $1 FOR NO KEY UPDATE`,
    [scopeId],
  );
  const [scopePk, head] = rows[0] ?? [];
  if (typeof scopePk !== 'string' || typeof head !== 'string') throw new Error('scope row missing');
  return { scopePk, head: BigInt(head) };
}
