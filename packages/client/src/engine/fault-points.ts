import type { FaultPoint, FaultStep } from '../ports/fault-points.ts';
import type { SqliteDriver, SqliteTx } from '../ports/sqlite-driver.ts';
import type { Engine } from './engine.ts';

/** The driver for the transactions of a step; without the port it is the driver itself. */
export function stepDriver(engine: Engine, step: FaultStep): SqliteDriver {
  const { driver } = engine;
  const { faultPoints } = engine.options.ports;
  if (faultPoints === undefined) return driver;
  const { limits, platform } = driver;
  return {
    databaseId: () => driver.databaseId(),
    exec: (sql) => driver.exec(sql),
    run: (sql, params) => driver.run(sql, params),
    all: (sql, params) => driver.all(sql, params),
    ...(limits === undefined ? {} : { limits }),
    ...(platform === undefined ? {} : { platform }),
    transaction: async (mode, fn) => {
      await faultPoints(`${step}.beforeTransaction`, driver);
      const result = await driver.transaction(mode, async (tx) => {
        const value = await fn(tx);
        await faultPoints(`${step}.beforeCommit`, tx);
        return value;
      });
      await faultPoints(`${step}.afterCommit`, driver);
      return result;
    },
  };
}

/** Lets a test interfere outside a step's transaction. */
export async function reachPoint(engine: Engine, point: FaultPoint, sql: SqliteTx = engine.driver): Promise<void> {
  await engine.options.ports.faultPoints?.(point, sql);
}
