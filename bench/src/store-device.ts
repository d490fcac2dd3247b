/*
 * A device without a network: the stages of the client are called one by one, so that each can be compared with raw inserts. They are
 * not part of what the package exports, hence the relative imports.
 */
import type { StageFile } from '@oversync/client';
import { createNodeSqliteDriver, type NodeSqliteDriver } from '@oversync/client/node-sqlite';
import { formatFloat } from '@oversync/protocol';

import { readSnapshotChunk } from '../../packages/client/src/http/snapshot-chunk.ts';
import type { CheckedRow } from '../../packages/client/src/rules/incoming-row.ts';
import type { LocalSchema } from '../../packages/client/src/rules/local-schema.ts';
import { applyBundles } from '../../packages/client/src/store/apply-bundles.ts';
import { stageRowsAt } from '../../packages/client/src/store/bundle-stage.ts';
import { loadClientState, type Outbox, saveLifecycle } from '../../packages/client/src/store/client-state.ts';
import { freezeOutbox } from '../../packages/client/src/store/freeze.ts';
import { FrozenMatch } from '../../packages/client/src/store/frozen-match.ts';
import { openLocalSchema } from '../../packages/client/src/store/open-local-schema.ts';
import { storeCommittedRemote } from '../../packages/client/src/store/outbox.ts';
import { replayCommittedBundle } from '../../packages/client/src/store/replay.ts';
import { applySnapshot } from '../../packages/client/src/store/snapshot-apply.ts';
import { stageSnapshotChunk } from '../../packages/client/src/store/snapshot-stage.ts';
import { StageFileWriter } from '../../packages/client/src/store/stage-file-writer.ts';
import { createStageFile, removeStageFile, type StagePlace } from '../../packages/client/src/store/stage-file.ts';
import { SQLITE_TABLE } from './sqlite-table.ts';
import type { BenchRow } from './bench-rows.ts';
import { encodeWirePayload } from './wire-push.ts';

const SOURCE_ID = '00000000-0000-4000-8000-000000000001';
const SNAPSHOT_ID = '00000000-0000-4000-8000-000000000002';
const USER_ID = 'bench';

/** The bounds that a client uses by default. */
const PAGE = { rowsMax: 500, bytesMax: 1024 * 1024 };
const SNAPSHOT_PAGE = { rowsMax: 256, bytesMax: 4 * 1024 * 1024 };
const OUTCOMES_MAX = 10_000;
const QUARANTINE_MAX = 100;
const CHUNK_ROWS = 1000;

type Prepared = Extract<Outbox, { readonly state: 'prepared' }>;
type Committed = Extract<Outbox, { readonly state: 'committed_remote' }>;

/** An attached database with the table of the benchmarks. */
export class StoreDevice {
  readonly driver: NodeSqliteDriver;
  readonly #schema: LocalSchema;

  private constructor(driver: NodeSqliteDriver, schema: LocalSchema) {
    this.driver = driver;
    this.#schema = schema;
  }

  static async open(file: string): Promise<StoreDevice> {
    const driver = createNodeSqliteDriver(file);
    await driver.exec('PRAGMA journal_mode = wal; PRAGMA synchronous = NORMAL');
    await driver.exec(SQLITE_TABLE);
    const tables = [{ tableName: 'places', syncKeyColumnName: 'id' }];
    const random = { fraction: () => 0, uuid: () => SOURCE_ID };
    const { schema } = await openLocalSchema(driver, { schema: 'business', tables }, random);
    await driver.transaction('immediate', (tx) =>
      saveLifecycle(tx, 'business', {
        name: 'attached',
        sourceId: SOURCE_ID,
        userId: USER_ID,
        lastBundleSeqSeen: 0n,
        initializationId: null,
        staged: null,
      }),
    );
    return new StoreDevice(driver, schema);
  }

  close(): Promise<void> {
    this.driver.close();
    return Promise.resolve();
  }

  /** Freezes everything that is pending into one bundle. */
  async freeze(): Promise<Prepared> {
    const sha256 = this.driver.platform?.sha256;
    const result = await freezeOutbox(this.driver, this.#schema, {
      rowsMax: Number.MAX_SAFE_INTEGER,
      bytesMax: Number.MAX_SAFE_INTEGER,
      bundleRowsMax: null,
      bundleBytesMax: null,
      rowBytesMax: 4 * 1024 * 1024,
      ordinalMax: null,
      initializationId: null,
      sourceId: SOURCE_ID,
      page: PAGE,
      quarantineMax: QUARANTINE_MAX,
      ...(sha256 === undefined ? {} : { sha256 }),
    });
    if (result.outbox.state !== 'prepared') throw new Error('nothing was frozen');
    return result.outbox;
  }

  /** As after the commit of the only bundle of a scope. */
  commit(outbox: Prepared): Promise<Committed> {
    return storeCommittedRemote(this.driver, outbox, { bundleSeq: 1n, bundleHash: outbox.requestHash });
  }

  /** Compares the rows that the server committed with the frozen ones, page by page, stages the others and replays. */
  async replay(outbox: Committed, rows: readonly CheckedRow[]): Promise<void> {
    const match = new FrozenMatch(this.#schema);
    for (let start = 0; start < rows.length; start += CHUNK_ROWS) {
      const page = rows.slice(start, start + CHUNK_ROWS);
      await match.load(this.driver, outbox.sourceBundleId, start, page.length);
      const others = match.unmatched(
        start,
        page.map((row) => ({ ...row, wireKey: row.keyJson })),
      );
      const staged = others.flatMap((index) => page.slice(index, index + 1).map((row) => ({ ordinal: start + index, row })));
      if (staged.length > 0) await this.driver.transaction('immediate', (tx) => stageRowsAt(tx, outbox.bundleSeq, staged));
    }
    await replayCommittedBundle(this.driver, this.#schema, {
      outbox,
      bundle: { staged: true },
      matched: match.runs,
      page: PAGE,
      quarantineMax: QUARANTINE_MAX,
      outcomeLimit: OUTCOMES_MAX,
    });
  }

  /** Reads, checks and stages the chunks of a snapshot, each in a transaction of its own. */
  async stageSnapshot(chunks: readonly string[], place: StagePlace): Promise<void> {
    if (place === 'file' && !(await createStageFile(this.driver, this.#stageFile(), this.#schema))) throw new Error('no stage');
    const writer = place === 'file' ? new StageFileWriter(this.driver, this.#schema) : null;
    let staged = 0;
    for (const chunk of chunks) {
      const { rows, rowCount } = await readSnapshotChunk(bodyOf(chunk), this.#schema, 4 * 1024 * 1024, writer);
      const after = BigInt(staged);
      if (writer !== null) await writer.endChunk(rows);
      else await this.driver.transaction('immediate', (tx) => stageSnapshotChunk(tx, SNAPSHOT_ID, after, rows));
      staged += rowCount;
    }
    await writer?.complete({ snapshotId: SNAPSHOT_ID, rowCount: BigInt(staged) });
  }

  async applySnapshot(rowCount: number, place: StagePlace): Promise<void> {
    const input = {
      pinned: await loadClientState(this.driver),
      session: { snapshotId: SNAPSHOT_ID, bundleSeq: 1n, rowCount: BigInt(rowCount), byteCount: 0n, isComplete: true },
      target: { userId: USER_ID, sourceId: SOURCE_ID },
      page: SNAPSHOT_PAGE,
      quarantineMax: QUARANTINE_MAX,
      outcomeLimit: OUTCOMES_MAX,
    };
    await applySnapshot(this.driver, this.#schema, input, place);
    if (place === 'file') await removeStageFile(this.driver, this.#stageFile());
  }

  #stageFile(): StageFile {
    const file = this.driver.platform?.stageFile;
    if (file === undefined) throw new Error('a database in a file has a place for the stage');
    return file;
  }

  /** Applies pulled bundles of `bundleRows` rows; as many at once as a pull hands over. */
  async pull(rows: readonly CheckedRow[], bundleRows: number): Promise<void> {
    const perCall = Math.max(bundleRows, PAGE.rowsMax);
    for (let start = 0; start < rows.length; start += perCall) {
      const bundles = [];
      for (let first = start; first < Math.min(start + perCall, rows.length); first += bundleRows) {
        bundles.push({ bundleSeq: BigInt(first / bundleRows + 1), rows: rows.slice(first, first + bundleRows) });
      }
      const input = { page: PAGE, quarantineMax: QUARANTINE_MAX, outcomeLimit: OUTCOMES_MAX, pullWithPending: 'rebase' } as const;
      await applyBundles(this.driver, this.#schema, bundles, input);
    }
  }
}

/** The rows as they are after the checks of a pull or a replay. */
export function checkedRows(rows: readonly BenchRow[]): CheckedRow[] {
  return rows.map((row) => ({
    schema: 'business',
    table: 'places',
    keyJson: `{"id":"${row.id}"}`,
    op: 'INSERT',
    rowVersion: 1n,
    payload: encodeWirePayload(row),
    values: columnTexts(row),
  }));
}

/** In the order of the columns, as they are when a row has been read. */
function columnTexts(row: BenchRow): CheckedRow['values'] {
  const { id, name, country, admin1, lat, lng, rating, visited, note, updatedAt } = row;
  return [id, name, country, admin1, null, lat, formatFloat(lng), String(rating), visited ? '1' : '0', note, updatedAt];
}

/** The bodies of the chunks of a snapshot. */
export function snapshotChunks(rows: readonly BenchRow[]): string[] {
  const chunks: string[] = [];
  for (let start = 0; start < rows.length; start += CHUNK_ROWS) {
    const texts = rows
      .slice(start, start + CHUNK_ROWS)
      .map(
        (row) =>
          `{"schema":"business","table":"places","key":{"id":"${row.id}"},"row_version":1,"payload":${encodeWirePayload(row)}}`,
      );
    const next = start + texts.length;
    chunks.push(
      `{"snapshot_id":"${SNAPSHOT_ID}","snapshot_bundle_seq":1,"rows":[${texts.join(',')}],"next_row_ordinal":${next},` +
        `"has_more":${next < rows.length},"byte_count":0}`,
    );
  }
  return chunks;
}

/** A body that arrives in one piece. */
function bodyOf(text: string): { readonly byteCount: number; read(): Promise<string | null>; cancel(): void } {
  let rest: string | null = text;
  return {
    byteCount: Buffer.byteLength(text),
    read: () => {
      const piece = rest;
      rest = null;
      return Promise.resolve(piece);
    },
    cancel: () => undefined,
  };
}
