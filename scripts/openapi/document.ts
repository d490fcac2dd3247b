import { readFileSync } from 'node:fs';

import { CONTRACT_ID, PROTOCOL_VERSION } from '../../packages/protocol/src/limits.ts';
import { ERROR_TABLE } from '../../packages/protocol/src/errors/error-table.ts';
import type { WireErrorCode } from '../../packages/protocol/src/errors/error-table.ts';
import { getErrorSchemaName } from './errors.ts';
import type { JsonSchema } from './json-schema.ts';
import { listErrors, OPERATIONS } from './operations.ts';
import type { OperationEntry, Success } from './operations.ts';
import { HEADERS, PARAMETERS } from './parameters.ts';
import type { ParameterName } from './parameters.ts';
import { createSchemas } from './schemas.ts';
import { describeMembers } from './vocabulary.ts';

const TAGS = [
  { name: 'Handshake', description: 'Finding out what the server offers and who seeds the scope.' },
  { name: 'Push', description: 'Sending frozen local changes and reading back what became of them.' },
  { name: 'Pull', description: 'Receiving the bundles that others committed.' },
  { name: 'Snapshot', description: 'Rebuilding a device from a frozen image of its scope.' },
  { name: 'Verification', description: 'Comparing a device with its scope, range by range.' },
  { name: 'Operations', description: 'Health, counters and metrics, mounted by the host where it wants.' },
];

const DESCRIPTION = `Two-way sync between SQLite on the device and PostgreSQL on the server: wire contract \`${CONTRACT_ID}\`.

Integers of 64 bits are JSON numbers without fraction or exponent; read them without loss. Business numbers travel as strings.
Whether a request is retried, resolved or given up follows from \`status\` and \`error\` alone; \`message\` is for developers.`;

const schemaRef = (name: string): JsonSchema => ({ $ref: `#/components/schemas/${name}` });
const headerRef = (name: keyof typeof HEADERS): JsonSchema => ({ $ref: `#/components/headers/${name}` });
const parameterRef = (name: ParameterName): JsonSchema => ({ $ref: `#/components/parameters/${name}` });

/** The OpenAPI 3.1 document of the whole contract, made from the validators and the error table of the protocol package. */
export function createDocument(): JsonSchema {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Oversync',
      version: readVersion(),
      description: DESCRIPTION,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      'x-protocol-version': PROTOCOL_VERSION,
    },
    servers: [
      {
        url: '{mount}',
        description: 'Where the host mounts the handlers.',
        variables: { mount: { default: '/api', description: 'Origin and path prefix of the host.' } },
      },
    ],
    security: [{ host: [] }],
    tags: TAGS,
    paths: createPaths(),
    components: {
      securitySchemes: {
        host: {
          type: 'http',
          scheme: 'bearer',
          description: 'Credentials of the host; usually a bearer token, but the host decides.',
        },
      },
      parameters: PARAMETERS,
      headers: HEADERS,
      schemas: describeMembers(createSchemas()),
    },
  };
}

/** The text of `docs/openapi.json`. */
export function formatDocument(): string {
  return `${JSON.stringify(createDocument(), null, 2)}\n`;
}

function readVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../packages/protocol/package.json', import.meta.url), 'utf8'));
  if (typeof manifest === 'object' && manifest !== null && 'version' in manifest) return String(manifest.version);
  throw new Error('the protocol package has no version');
}

function createPaths(): JsonSchema {
  const paths = Map.groupBy(OPERATIONS, (entry) => entry.path);
  return Object.fromEntries(
    [...paths].map(([path, entries]) => [
      path,
      Object.fromEntries(entries.map((entry) => [entry.method, createOperation(entry)])),
    ]),
  );
}

function createOperation(entry: OperationEntry): JsonSchema {
  return {
    operationId: entry.id,
    tags: [entry.tag],
    summary: entry.summary,
    description: entry.description,
    ...(isOps(entry) ? { security: [] } : {}),
    parameters: listParameters(entry).map(parameterRef),
    ...(entry.body === undefined ? {} : { requestBody: createRequestBody(entry.body) }),
    responses: createResponses(entry),
  };
}

function isOps(entry: OperationEntry): boolean {
  return entry.tag === 'Operations';
}

function listParameters(entry: OperationEntry): readonly ParameterName[] {
  const source: readonly ParameterName[] = isOps(entry) ? [] : ['SourceId'];
  const accept: readonly ParameterName[] = entry.success.kind === 'json' ? ['AcceptEncoding'] : [];
  return [...entry.parameters, ...source, ...accept, ...(entry.body === undefined ? [] : (['ContentEncoding'] as const))];
}

function createRequestBody(body: { readonly schema: string; readonly required: boolean }): JsonSchema {
  return { required: body.required, content: { 'application/json': { schema: schemaRef(body.schema) } } };
}

function createResponses(entry: OperationEntry): JsonSchema {
  const byStatus = Map.groupBy(listErrors(entry), (code) => ERROR_TABLE[code].status ?? 500);
  const also = entry.alsoStatus;
  const statuses: readonly (readonly [number, JsonSchema])[] = [
    [entry.success.kind === 'empty' ? 204 : 200, createSuccess(entry.success)],
    ...(also === undefined ? [] : [[also.status, createSuccess({ ...entry.success, description: also.description })] as const]),
    ...[...byStatus].map(([status, codes]) => [status, createErrorResponse(entry, status, codes)] as const),
  ];
  return Object.fromEntries(
    [...statuses].sort(([left], [right]) => left - right).map(([status, response]) => [String(status), response]),
  );
}

function createSuccess(success: Success): JsonSchema {
  const { description } = success;
  switch (success.kind) {
    case 'empty':
      return { description, headers: { 'Cache-Control': headerRef('CacheControl') } };
    case 'text':
      return { description, content: { 'text/plain': { schema: { type: 'string' } } } };
    case 'events':
      return { description, content: { 'text/event-stream': { schema: createEventsSchema() } } };
    case 'json':
      return { description, headers: jsonHeaders(true), content: { 'application/json': { schema: schemaRef(success.schema) } } };
  }
}

/** OpenAPI 3.1 has no form for a stream: what one `data:` line of it holds is told as the schema of the content. */
function createEventsSchema(): JsonSchema {
  return {
    type: 'string',
    description:
      'Lines `event: bundle` and `data: <WatchEvent as JSON>`, an empty line after each event; lines that begin with `:` are comments.',
    contentMediaType: 'application/json',
    contentSchema: schemaRef('WatchEvent'),
  };
}

function createErrorResponse(entry: OperationEntry, status: number, codes: readonly WireErrorCode[]): JsonSchema {
  const names = codes.map(getErrorSchemaName);
  const mapping = Object.fromEntries(codes.map((code, index) => [code, `#/components/schemas/${names[index] ?? ''}`]));
  const schema = { oneOf: names.map(schemaRef), discriminator: { propertyName: 'error', mapping } };
  const canWait = status === 429 || codes.includes('service_unavailable');
  return {
    description: codes.map((code) => `\`${code}\`: ${ERROR_TABLE[code].message}.`).join('\n'),
    headers: {
      ...jsonHeaders(entry.success.kind !== 'events'),
      ...(canWait ? { 'Retry-After': status === 429 ? { ...HEADERS.RetryAfter, required: true } : headerRef('RetryAfter') } : {}),
      ...(status === 405 ? { Allow: headerRef('Allow') } : {}),
    },
    content: { 'application/json': { schema } },
  };
}

function jsonHeaders(mayCompress: boolean): JsonSchema {
  const always = { 'Cache-Control': headerRef('CacheControl') };
  return mayCompress ? { ...always, 'Content-Encoding': headerRef('ContentEncoding') } : always;
}
