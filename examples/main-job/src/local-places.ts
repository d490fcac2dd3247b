import type { SqliteTx, SqlValue } from '@oversync/client';

import { type Dump, digestRows, type DumpRow } from './dump.ts';
import type { Edit } from './edits.ts';
import type { Place } from './place.ts';

/** The application's own table on a device: ordinary SQL, nothing about sync in it. */
export const LOCAL_SCHEMA_SQL = `
CREATE TABLE IF NOT EXISTS places (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  country TEXT NOT NULL,
  admin1 TEXT,
  admin2 TEXT,
  lat TEXT NOT NULL,
  lng REAL NOT NULL,
  rating INTEGER NOT NULL,
  visited BOOLEAN NOT NULL,
  note TEXT,
  updated_at TEXT NOT NULL
);
`;

const INSERT_SQL = `
INSERT INTO places (id, name, country, admin1, admin2, lat, lng, rating, visited, note, updated_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;

const UPDATE_SQL = 'UPDATE places SET note = ?, rating = ?, updated_at = ? WHERE id = ?';

const DELETE_SQL = 'DELETE FROM places WHERE id = ?';

/** Rows read at once; bounds the memory of a dump. */
const PAGE_ROWS = 5000;

const PAGE_SQL = `
SELECT id, name, country, admin1, admin2, lat, lng, CAST(rating AS TEXT), visited, note, updated_at
FROM places WHERE id > ? ORDER BY id LIMIT ${PAGE_ROWS}`;

export async function insertPlaces(tx: SqliteTx, places: readonly Place[]): Promise<void> {
  const rows = places.map((place) => [
    place.id,
    place.name,
    place.country,
    place.admin1,
    place.admin2,
    place.lat,
    place.lng,
    place.rating,
    place.visited ? 1n : 0n,
    place.note,
    place.updatedAt,
  ]);
  if (tx.runMany === undefined) for (const row of rows) await tx.run(INSERT_SQL, row);
  else await tx.runMany(INSERT_SQL, rows);
}

export async function applyEdits(tx: SqliteTx, edits: readonly Edit[]): Promise<void> {
  for (const edit of edits) {
    if (edit.kind === 'insert') await insertPlaces(tx, [edit.place]);
    else if (edit.kind === 'delete') await tx.run(DELETE_SQL, [edit.id]);
    else await tx.run(UPDATE_SQL, [edit.note, edit.rating, edit.updatedAt, edit.id]);
  }
}

export async function loadSortedIds(tx: SqliteTx): Promise<readonly string[]> {
  return (await tx.all('SELECT id FROM places ORDER BY id')).map(([id]) => String(id));
}

/** Digest of the places of a device. The device's file is read with plain SQL. */
export function digestDevice(tx: SqliteTx): Promise<Dump> {
  return digestRows(readPages(tx));
}

async function* readPages(tx: SqliteTx): AsyncGenerator<readonly DumpRow[]> {
  let lastId = '';
  for (;;) {
    const rows = (await tx.all(PAGE_SQL, [lastId])).map(toRow);
    const last = rows.at(-1);
    if (last === undefined) return;
    yield rows;
    lastId = last.id;
  }
}

function toRow(values: readonly SqlValue[]): DumpRow {
  const [id, name, country, admin1, admin2, lat, lng, rating, visited, note, updatedAt] = values;
  return {
    admin1: toText(admin1),
    admin2: toText(admin2),
    country: String(country),
    id: String(id),
    lat: String(lat),
    lng: String(lng),
    name: String(name),
    note: toText(note),
    rating: String(rating),
    updated_at: String(updatedAt),
    visited: String(visited) === '1',
  };
}

function toText(value: SqlValue | undefined): string | null {
  return value === null || value === undefined ? null : String(value);
}
