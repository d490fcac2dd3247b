import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The committed document. */
export const DOCUMENT_PATH = fileURLToPath(new URL('../../docs/openapi.json', import.meta.url));

/** The parts of an OpenAPI document that tests look at. */
export interface OpenApiDocument {
  readonly paths: Readonly<Record<string, Readonly<Record<string, OpenApiOperation>>>>;
  readonly components: { readonly parameters: Readonly<Record<string, OpenApiParameter>> };
}

export interface OpenApiParameter {
  readonly name: string;
  readonly in: 'query' | 'path' | 'header';
  readonly required?: boolean;
}

export interface OpenApiOperation {
  readonly operationId: string;
  readonly parameters: readonly { readonly $ref: string }[];
  readonly requestBody?: { readonly required: boolean };
  readonly responses: Readonly<Record<string, OpenApiResponse>>;
}

export interface OpenApiResponse {
  readonly content?: Readonly<Record<string, { readonly schema: OpenApiSchema }>>;
  readonly headers?: Readonly<Record<string, { readonly required?: boolean; readonly $ref?: string }>>;
}

export interface OpenApiSchema {
  readonly $ref?: string;
  readonly oneOf?: readonly { readonly $ref: string }[];
  readonly discriminator?: { readonly propertyName: string; readonly mapping: Readonly<Record<string, string>> };
}

/** An operation with the place where it stands. */
export interface PlacedOperation extends OpenApiOperation {
  readonly method: string;
  readonly path: string;
}

export function loadDocument(): OpenApiDocument {
  return JSON.parse(readFileSync(DOCUMENT_PATH, 'utf8')) as OpenApiDocument;
}

export function listOperations(document: OpenApiDocument): readonly PlacedOperation[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ ...operation, method: method.toUpperCase(), path })),
  );
}

/** The parameters of an operation by the JSON pointer of each. */
export function listParameters(
  document: OpenApiDocument,
  operation: OpenApiOperation,
): readonly (readonly [string, OpenApiParameter])[] {
  return operation.parameters.map(({ $ref }) => {
    const parameter = document.components.parameters[$ref.split('/').at(-1) ?? ''];
    if (parameter === undefined) throw new Error(`${$ref} is not in the document`);
    return [$ref, parameter];
  });
}

/** A path as one segment of a JSON pointer in a URL fragment. */
export function escapePointer(segment: string): string {
  return encodeURIComponent(segment.replaceAll('~', '~0').replaceAll('/', '~1'));
}
