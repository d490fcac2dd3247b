import { type Dump, digestRows, type DumpRow } from './dump.ts';

/** Reads rows as text, in column order. */
export type QueryText = (sql: string, params: readonly string[]) => Promise<readonly (readonly (string | null)[])[]>;

/** Rows read at once; bounds the memory of a dump. */
const PAGE_ROWS = 5000;

const PAGE_SQL = `
SELECT id::text, name, country, admin1, admin2, lat::text, lng::text, rating::text, visited::text, note,
       to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US')
FROM business.places
WHERE _sync_scope_id = $1 AND id > $2::uuid
ORDER BY id
LIMIT ${PAGE_ROWS}`;

/** Digest of one scope of the business table, read with plain SQL: nothing of the sync library is involved. */
export function digestPostgres(query: QueryText, scopeId: string): Promise<Dump> {
  return digestRows(readPages(query, scopeId));
}

async function* readPages(query: QueryText, scopeId: string): AsyncGenerator<readonly DumpRow[]> {
  let lastId = '00000000-0000-0000-0000-000000000000';
  for (;;) {
    const rows = (await query(PAGE_SQL, [scopeId, lastId])).map(toRow);
    const last = rows.at(-1);
    if (last === undefined) return;
    yield rows;
    lastId = last.id;
  }
}

function toRow(values: readonly (string | null)[]): DumpRow {
  const [id, name, country, admin1, admin2, lat, lng, rating, visited, note, updatedAt] = values;
  return {
    admin1: admin1 ?? null,
    admin2: admin2 ?? null,
    country: country ?? '',
    id: id ?? '',
    lat: lat ?? '',
    lng: String(Number(lng)),
    name: name ?? '',
    note: note ?? null,
    rating: rating ?? '',
    updated_at: `${(updatedAt ?? '').replace(/\.?0*$/, '')}+00:00`,
    visited: visited === 'true',
  };
}
