export { formatFailure } from './format-failure.ts';
export { EXAMPLE_SCHEMA_SQL, REGISTERED_TABLES } from './example-schema.ts';
export { RICH_SCHEMA_SQL, RICH_TABLES } from './rich-schema.ts';
export { type ReferenceServer, type ReferenceServerOptions, startReferenceServer } from './reference-server.ts';
