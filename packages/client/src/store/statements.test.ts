import { describe, expect, test } from 'vitest';

import { fillFreezePlanSql } from '../rules/freeze-sql.ts';
import { judgeUploadedSql, livePayloadSql, livePayloadsSql, pageFromMatchedSql, requeueSql } from '../rules/replay-sql.ts';
import { childrenSql, deleteOneSql, holdersSql, orphansSql, parkSql, upsertOneSql } from '../rules/row-sql.ts';
import { tableTriggers } from '../rules/trigger-sql.ts';
import * as clientState from './client-state.sql.ts';
import * as conflicts from './conflicts.sql.ts';
import * as freeze from './freeze.sql.ts';
import * as intents from './intents.sql.ts';
import * as outbox from './outbox.sql.ts';
import * as page from './page.sql.ts';
import * as quarantineReview from './quarantine-review.sql.ts';
import * as replay from './replay.sql.ts';
import { CREATE_WORK_TABLES } from './work-tables.sql.ts';
import { openLocal } from './test-local.ts';

const DDL = `CREATE TABLE "Order" ("id" TEXT PRIMARY KEY NOT NULL, "group" BLOB REFERENCES files(id), "select" TEXT UNIQUE, json TEXT, r REAL);
  CREATE TABLE files (id BLOB PRIMARY KEY NOT NULL, "values" BLOB)`;

const modules = { clientState, conflicts, freeze, intents, outbox, page, quarantineReview, replay };

describe('every statement can be prepared against the real schema', () => {
  for (const [name, statements] of Object.entries(modules)) {
    test(`module ${name}`, async () => {
      const { driver } = await openLocal(DDL);
      await driver.exec(CREATE_WORK_TABLES);
      const texts: [string, string][] = [];
      for (const [key, value] of Object.entries(statements)) {
        if (typeof value === 'string') texts.push([key, value]);
      }
      expect(texts.length).toBeGreaterThan(0);
      for (const [key, sql] of texts) expect(() => driver.database.prepare(sql), key).not.toThrow();
    });
  }

  test('statements over application tables with awkward names', async () => {
    const { driver, schema } = await openLocal(DDL);
    await driver.exec(CREATE_WORK_TABLES);
    const texts = schema.tables.flatMap((table) => [
      fillFreezePlanSql(schema, new Set([table.wireName])),
      intents.fillIntentsSql(schema),
      judgeUploadedSql(table),
      requeueSql(table),
      pageFromMatchedSql(table, false, { hasDirty: true, hasBases: true, writesAll: false }),
      pageFromMatchedSql(table, true, { hasDirty: false, hasBases: false, writesAll: true }),
      livePayloadSql(table),
      livePayloadsSql(table),
      upsertOneSql(table),
      deleteOneSql(table),
      holdersSql(table, table.columns),
      parkSql(table, table.columns),
      ...table.references.flatMap((reference) => {
        const parent = schema.tablesByName.get(reference.parentTable);
        return parent === undefined ? [] : [orphansSql(table, reference, parent), childrenSql(table, reference, parent)];
      }),
    ]);
    expect(texts.length).toBeGreaterThan(20);
    for (const sql of texts) expect(() => driver.database.prepare(sql), sql).not.toThrow();
  });

  test('the text of a capture trigger', async () => {
    const { schema } = await openLocal('CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, age INTEGER)');
    const [table] = schema.tables;
    if (table === undefined) throw new Error('the table is described');
    const deletion = tableTriggers('main', table, 'capture').find((trigger) => trigger.name === 'trg_users_ad');
    const key = `json_object('id', CASE typeof(OLD."id") WHEN 'text' THEN OLD."id" WHEN 'integer' THEN CAST(OLD."id" AS TEXT) WHEN 'real' THEN printf('%!.20g', OLD."id") WHEN 'blob' THEN char(0) || 'blob:' || lower(hex(OLD."id")) END)`;
    expect(deletion?.sql).toBe(
      `CREATE TRIGGER "trg_users_ad" AFTER DELETE ON "users" WHEN COALESCE((SELECT apply_mode FROM _sync_apply_state WHERE singleton_key = 1), 0) <> 1 ` +
        `BEGIN INSERT INTO _sync_dirty_rows(schema_name, table_name, key_json, op, base_row_version, payload, dirty_ordinal, updated_at) ` +
        `SELECT 'main', 'users', ${key}, 'DELETE', COALESCE((SELECT row_version FROM _sync_row_state WHERE schema_name = 'main' AND table_name = 'users' AND key_json = ${key}), 0), ` +
        `NULL, COALESCE((SELECT MAX(dirty_ordinal) FROM _sync_dirty_rows), 0) + 1, strftime('%Y-%m-%dT%H:%M:%fZ','now') WHERE true ` +
        `ON CONFLICT (schema_name, table_name, key_json) DO UPDATE SET op = excluded.op, payload = excluded.payload, updated_at = excluded.updated_at; END`,
    );
  });
});
