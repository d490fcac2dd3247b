import { escapePointer, listOperations, loadDocument } from './document.ts';
import type { OpenApiResponse, OpenApiSchema, PlacedOperation } from './document.ts';
import { readJson } from './json-numbers.ts';
import { createSchemaChecker } from './schema-checker.ts';

/** One answer as it was received; the body is decompressed. */
export interface ReceivedResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

const ESCAPED = /[.*+?^$|[\]\\()]/g;

const document = loadDocument();
const operations = listOperations(document).map((operation) => ({ ...operation, pattern: toPattern(operation.path) }));
const checkSchema = createSchemaChecker(document);

function toPattern(path: string): RegExp {
  const source = path.replaceAll(ESCAPED, String.raw`\$&`).replaceAll(/\{[^}]+\}/g, '[^/]+');
  return new RegExp(`(?:^|/)${source.slice(1)}$`);
}

/**
 * The operations that a request can belong to, below whatever prefix: one, all of the path when the path has no such method, or
 * all of the document when there is no such path. What the server answers then is declared by each of them.
 */
export function findOperations(method: string, pathname: string): readonly PlacedOperation[] {
  const ofPath = operations.filter((operation) => operation.pattern.test(pathname));
  const exact = ofPath.filter((operation) => operation.method === method);
  if (exact.length > 0) return exact;
  return ofPath.length > 0 ? ofPath : operations;
}

/**
 * Everything in which an answer differs from the document: status, code, body, content type, headers that have to be there.
 * Empty when it is as documented.
 *
 * @param operationId for example `push_chunk`
 * @throws Error when the document has no such operation
 */
export function validateResponse(operationId: string, response: ReceivedResponse): readonly string[] {
  const operation = operations.find((candidate) => candidate.operationId === operationId);
  if (operation === undefined) throw new Error(`the document has no operation ${operationId}`);
  const documented = operation.responses[String(response.status)];
  if (documented === undefined) return [`${operationId} does not declare status ${response.status}`];
  return [...checkHeaders(documented, response.headers), ...checkBody(operation, documented, response)];
}

function checkHeaders(documented: OpenApiResponse, headers: Headers): readonly string[] {
  return Object.entries(documented.headers ?? {}).flatMap(([name, header]) => {
    const value = headers.get(name);
    if (value === null) return header.required === true || ALWAYS_SENT.has(name) ? [`the header ${name} is missing`] : [];
    return name === 'Retry-After' && !/^[1-9][0-9]*$/.test(value) ? [`the header ${name} is ${value}`] : [];
  });
}

/** Headers that the contract demands wherever they are declared. */
const ALWAYS_SENT: ReadonlySet<string> = new Set(['Allow', 'Cache-Control']);

function checkBody(operation: PlacedOperation, documented: OpenApiResponse, response: ReceivedResponse): readonly string[] {
  if (documented.content === undefined) return response.body === '' ? [] : ['there is a body'];
  const contentType = (response.headers.get('content-type') ?? '').split(';')[0] ?? '';
  const schema = documented.content[contentType]?.schema;
  if (schema === undefined) return [`the content type ${contentType} is not declared`];
  const place = `#/paths/${escapePointer(operation.path)}/${operation.method.toLowerCase()}/responses/${response.status}`;
  if (contentType === 'text/plain') return [];
  if (contentType === 'text/event-stream') return checkEvents(response.body);
  return checkJson(`${place}/content/application~1json/schema`, schema, response.body);
}

function checkJson(pointer: string, schema: OpenApiSchema, text: string): readonly string[] {
  let value: unknown;
  try {
    value = readJson(text);
  } catch (error) {
    return [`not JSON of the contract: ${String(error)}`];
  }
  const { discriminator } = schema;
  if (discriminator === undefined) return checkSchema(pointer, value);
  // The errors of one case say more than those of all cases together.
  const name = typeof value === 'object' && value !== null ? Reflect.get(value, discriminator.propertyName) : undefined;
  const component = discriminator.mapping[String(name)];
  return component === undefined ? [`${discriminator.propertyName} is ${String(name)}`] : checkSchema(component, value);
}

/** Comments, and events of two lines; nothing else may stand in a stream. */
function checkEvents(body: string): readonly string[] {
  return body.split('\n\n').flatMap((block) => {
    if (block === '' || block.startsWith(':')) return [];
    const data = /^event: bundle\ndata: (.+)$/.exec(block)?.[1];
    return data === undefined
      ? [`not an event of the contract: ${block}`]
      : checkJson('#/components/schemas/WatchEvent', {}, data);
  });
}
