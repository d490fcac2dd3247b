import type { SqliteTx } from '../ports/sqlite-driver.ts';
import type { SqliteFeatures } from '../rules/local-schema.ts';
import { textColumn } from './columns.ts';

/** Doubles whose spelling old builds of SQLite get wrong. */
const PROBES = [
  Number.MAX_VALUE,
  -Number.MAX_VALUE,
  Number.MIN_VALUE,
  2.2250738585072014e-308,
  0.1 + 0.2,
  1 / 3,
  1.2345678901234567,
];

/** What this build can do, or `null` when it cannot even capture a REAL exactly (client.md 10.3). */
export async function testSqlite(tx: SqliteTx, version: string): Promise<SqliteFeatures | null> {
  if (isBelow(version, 3, 38)) return null;
  const printed = await tx.all(PRINT_PROBES, PROBES);
  const isCaptureExact = PROBES.every((probe, index) => Number(textColumn(printed[0] ?? [], index)) === probe);
  if (!isCaptureExact) return null;
  return {
    hasUnhex: !isBelow(version, 3, 41),
    readsRealsExactly: await readsRealsExactly(tx),
    hasOctetLength: !isBelow(version, 3, 43),
  };
}

/** The cast that applies server rows, and a bound double, must give the same bits; the driver takes part in this. */
async function readsRealsExactly(tx: SqliteTx): Promise<boolean> {
  for (const probe of PROBES) {
    const [row] = await tx.all('SELECT CAST(? AS REAL) = ?', [String(probe), probe]);
    if (Number(row?.[0] ?? 0) !== 1) return false;
  }
  return true;
}

function isBelow(version: string, major: number, minor: number): boolean {
  const [actualMajor = 0, actualMinor = 0] = version.split('.').map(Number);
  return actualMajor < major || (actualMajor === major && actualMinor < minor);
}

const PRINT_PROBES = `SELECT ${PROBES.map(() => `printf('%!.20g', ?)`).join(', ')}`;
