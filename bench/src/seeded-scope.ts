import { type BenchServer, closeDevice } from './harness/bench-server.ts';

export interface SeededScope {
  readonly user: string;
  readonly token: string;
}

/** A scope that already holds `rows` rows, sent by a device that is gone. */
export async function seedScope(server: BenchServer, rows: number): Promise<SeededScope> {
  const scope = await server.newUser();
  const device = await server.openDevice(scope.token);
  await device.call('insert', { from: 0, count: rows });
  await device.call('attach', scope.user);
  await device.call('push');
  await closeDevice(device);
  return scope;
}
