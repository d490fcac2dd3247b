/** The process that is killed while it adopts. */
import { openAdoptionServer } from './adoption-server.ts';
import type { AdoptionArguments, AdoptionMessage } from './messages.ts';

const { databaseUrl } = JSON.parse(process.argv[2] ?? '') as AdoptionArguments;
const { server, close } = openAdoptionServer(databaseUrl);
const tell = (message: AdoptionMessage): void => void process.send?.(message);
try {
  const { scopes, rows } = await server.admin.adopt();
  tell({ kind: 'done', scopes, rows });
} catch (error) {
  tell({ kind: 'error', text: String(error) });
}
await close();
process.disconnect();
