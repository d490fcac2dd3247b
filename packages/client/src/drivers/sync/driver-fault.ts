import { SqliteFault, sqliteFaultKind } from '../../ports/sqlite-fault.ts';
import type { SyncConnection } from './sync-connection.ts';

/** Result code of a call that the port forbids. */
const SQLITE_MISUSE = 21;

/** A call that the port forbids. */
export function misuse(why: string): SqliteFault {
  return new SqliteFault('misuse', SQLITE_MISUSE, new Error(why));
}

/** Runs `work`; errors of SQLite leave as faults. */
export function translating<T>(connection: SyncConnection, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof SqliteFault) throw error;
    const resultCode = connection.resultCodeOf(error);
    if (resultCode === null) throw error;
    throw new SqliteFault(sqliteFaultKind(resultCode), resultCode, error);
  }
}
