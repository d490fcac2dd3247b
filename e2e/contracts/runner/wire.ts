import { isJsonObject, parseJson, stringifyJson } from '@oversync/protocol';
import type { JsonObject, JsonValue } from '@oversync/protocol';

/** A request as a scripted server sees it. */
export interface ScriptRequest {
  readonly operation: string;
  readonly sourceId: string;
  /** The id in the path, where there is one. */
  readonly id: string;
  readonly query: Readonly<Record<string, string>>;
  readonly body: JsonObject;
}

export type ScriptHandler = (request: ScriptRequest) => Response | Promise<Response>;

const ROUTES: readonly (readonly [RegExp, string])[] = [
  [/^GET \S*\/sync\/capabilities$/, 'capabilities'],
  [/^POST \S*\/sync\/connect$/, 'connect'],
  [/^POST \S*\/sync\/push-sessions$/, 'push_session_create'],
  [/^POST \S*\/sync\/push-sessions\/([^/]+)\/chunks$/, 'push_session_chunk'],
  [/^POST \S*\/sync\/push-sessions\/([^/]+)\/commit$/, 'push_session_commit'],
  [/^DELETE \S*\/sync\/push-sessions\/([^/]+)$/, 'push_session_delete'],
  [/^GET \S*\/sync\/committed-bundles\/([^/]+)\/rows$/, 'committed_rows'],
  [/^GET \S*\/sync\/pull$/, 'pull'],
  [/^POST \S*\/sync\/snapshot-sessions$/, 'snapshot_session_create'],
  [/^GET \S*\/sync\/snapshot-sessions\/([^/]+)$/, 'snapshot_chunk'],
  [/^DELETE \S*\/sync\/snapshot-sessions\/([^/]+)$/, 'snapshot_session_delete'],
];

export async function readRequest(request: Request): Promise<ScriptRequest> {
  const url = new URL(request.url);
  const line = `${request.method} ${url.pathname}`;
  for (const [pattern, operation] of ROUTES) {
    const match = pattern.exec(line);
    if (match === null) continue;
    const text = await request.text();
    const sourceId = request.headers.get('Oversync-Source-ID') ?? '';
    const query = Object.fromEntries(url.searchParams);
    return { operation, sourceId, id: match[1] ?? '', query, body: text === '' ? {} : objectOf(toJson(text)) };
  }
  throw new Error(`a request that no script knows: ${line}`);
}

/** A value of a fixture file as the protocol's own JSON, numbers kept. */
export function wireJson(value: unknown): JsonValue {
  return toJson(JSON.stringify(value));
}

export function objectOf(value: JsonValue | undefined): JsonObject {
  if (value === undefined || !isJsonObject(value)) throw new Error('an object was expected');
  return value;
}

export function textOf(value: JsonValue | undefined): string {
  if (typeof value !== 'string') throw new Error('a string was expected');
  return value;
}

export function numberOf(value: JsonValue | undefined): number {
  if (typeof value !== 'number') throw new Error('a number was expected');
  return value;
}

export function rowsOf(value: JsonValue | undefined): readonly JsonObject[] {
  if (!Array.isArray(value)) throw new Error('a list was expected');
  return value.map((entry) => objectOf(entry));
}

export function reply(status: number, body: JsonObject): Response {
  return rawReply(status, stringifyJson(body));
}

export function rawReply(status: number, body: string): Response {
  return new Response(body, { status, headers: { 'Content-Type': 'application/json' } });
}

export function refusal(status: number, error: string, members: JsonObject = {}): Response {
  return reply(status, { error, message: 'scripted refusal', ...members });
}

function toJson(text: string): JsonValue {
  return parseJson(text, { depthMax: 100 });
}
