export { EXAMPLE_SCHEMA_SQL, REGISTERED_TABLES } from './example-schema.ts';
export { type ReferenceServer, type ReferenceServerOptions, startReferenceServer } from './reference-server.ts';
