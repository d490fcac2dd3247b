import type { JsonObject } from '@oversync/protocol';

import { asArray, asString } from '../json.ts';
import type { FixtureObject } from '../json.ts';
import { createScript } from './scripts.ts';
import type { Script, ScriptContext } from './scripts.ts';
import { readRequest, refusal, reply } from './wire.ts';
import type { ScriptRequest } from './wire.ts';

/** A table of the case. */
export interface ContractTable {
  readonly tableName: string;
  readonly syncKeyColumnName: string;
}

const BUNDLE_LIMITS: JsonObject = {
  default_rows_per_snapshot_chunk: 1000,
  max_rows_per_snapshot_chunk: 5000,
  default_bytes_per_snapshot_chunk: 4_194_304,
  max_bytes_per_snapshot_chunk: 16_777_216,
  max_bytes_per_snapshot_row: 4_194_304,
  max_concurrent_snapshot_builds: 8,
  max_concurrent_snapshot_chunk_requests: 4,
};

/** A server that does what the script of a case says, reached in the process. */
export class ContractServer {
  readonly script: Script;
  readonly #tables: readonly ContractTable[];
  readonly #resolution: string;
  readonly #versions: string[];

  constructor(script: FixtureObject, tables: readonly ContractTable[], context: ScriptContext) {
    this.script = createScript(script, context);
    this.#tables = tables;
    const resolution = asString(script['connectResolution'] ?? 'default');
    this.#resolution = resolution === 'default' ? 'initialize_empty' : resolution;
    this.#versions = asArray(script['protocolVersions'] ?? ['v1']).map(asString);
  }

  readonly fetch = async (request: Request): Promise<Response> => {
    const read = await readRequest(request);
    switch (read.operation) {
      case 'capabilities':
        return reply(200, this.#capabilities());
      case 'connect':
        return reply(200, { resolution: this.#resolution });
      case 'push_session_delete':
      case 'snapshot_session_delete':
        return new Response(null, { status: 204 });
      default:
        return this.#scripted(read);
    }
  };

  async #scripted(request: ScriptRequest): Promise<Response> {
    const handler = this.script.handlers[request.operation];
    return handler === undefined ? refusal(404, 'not_found') : handler(request);
  }

  /** Each request takes the next version of the list; the last one stays. */
  #capabilities(): JsonObject {
    const version = this.#versions.length > 1 ? this.#versions.shift() : this.#versions[0];
    return {
      protocol_version: version ?? 'v1',
      schema_version: 1,
      registered_table_specs: this.#tables.map(({ tableName, syncKeyColumnName }) => ({
        schema: 'main',
        table: tableName,
        sync_key_columns: [syncKeyColumnName],
      })),
      features: { connect_lifecycle: true },
      bundle_limits: { ...BUNDLE_LIMITS },
    };
  }
}
