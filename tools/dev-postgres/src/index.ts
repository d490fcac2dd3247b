export { getPlatformPackage } from './binaries.ts';
export { loadSecret } from './data-folder.ts';
export {
  type DevPostgres,
  findFreePort,
  isPortFree,
  type PostgresByUrl,
  type PostgresInProcess,
  startPostgres,
  type StartPostgresOptions,
  useExternalPostgres,
} from './start-postgres.ts';
