export { type AppServer, type AppServerOptions, startAppServer } from './app-server.ts';
export { type Member, signToken, verifyRequest } from './auth.ts';
export { SCHEMA_SQL, TABLES } from './schema.ts';
