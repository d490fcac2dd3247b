import { createHash } from 'node:crypto';

import type { Place } from './place.ts';

/** Digest of one copy of the data. */
export interface Dump {
  readonly rowCount: number;
  /** SHA-256 over the canonical dump: rows sorted by key, one JSON object per line, values in their wire spelling. */
  readonly sha256: string;
}

/** The columns of a row, in dump order, each already in its wire spelling. */
export interface DumpRow {
  readonly admin1: string | null;
  readonly admin2: string | null;
  readonly country: string;
  readonly id: string;
  readonly lat: string;
  readonly lng: string;
  readonly name: string;
  readonly note: string | null;
  readonly rating: string;
  readonly updated_at: string;
  readonly visited: boolean;
}

/** Digests pages of rows that arrive in key order. */
export async function digestRows(pages: AsyncIterable<readonly DumpRow[]> | Iterable<readonly DumpRow[]>): Promise<Dump> {
  const hash = createHash('sha256');
  let rowCount = 0;
  let lastId = '';
  for await (const page of pages) {
    for (const row of page) {
      if (row.id <= lastId) throw new Error('the rows of a dump must rise by key');
      lastId = row.id;
      hash.update(`${JSON.stringify(row)}\n`);
    }
    rowCount += page.length;
  }
  return { rowCount, sha256: hash.digest('hex') };
}

/** The wire spelling of a place that a device made. */
export function toDumpRow(place: Place): DumpRow {
  return {
    admin1: place.admin1,
    admin2: place.admin2,
    country: place.country,
    id: place.id,
    lat: padDecimal(place.lat),
    lng: String(place.lng === 0 ? 0 : place.lng),
    name: place.name,
    note: place.note,
    rating: String(place.rating),
    updated_at: toWireInstant(place.updatedAt),
    visited: place.visited,
  };
}

/** `numeric(8, 5)` keeps five places: `42.5` is stored, and comes back, as `42.50000`. */
function padDecimal(text: string): string {
  const [whole, fraction = ''] = text.split('.');
  return `${whole}.${fraction.padEnd(5, '0')}`;
}

/** An instant as the server spells it: no trailing zeros, offset `+00:00`. */
export function toWireInstant(text: string): string {
  return `${new Date(text).toISOString().replace(/\.?0*Z$/, '')}+00:00`;
}

/** Digest of what the rule says all copies must hold. */
export function digestPlaces(places: ReadonlyMap<string, Place>): Promise<Dump> {
  const sorted = [...places.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  return digestRows([sorted.map(toDumpRow)]);
}
