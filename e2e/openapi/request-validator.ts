import { escapePointer, listParameters, loadDocument } from './document.ts';
import type { OpenApiParameter, PlacedOperation } from './document.ts';
import { readJson } from './json-numbers.ts';
import { findOperations } from './response-validator.ts';
import { createSchemaChecker } from './schema-checker.ts';

/** One request as it was sent; the body is decompressed. */
export interface SentRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Headers;
  readonly body: string;
}

const document = loadDocument();
const checkSchema = createSchemaChecker(document);

/** Everything in which a request differs from the document: path, method, parameters, body. Empty when it is as documented. */
export function validateRequest(request: SentRequest): readonly string[] {
  const [operation, ...others] = findOperations(request.method, request.url.pathname);
  if (operation === undefined || others.length > 0) return [`${request.method} ${request.url.pathname} is no operation`];
  return [...checkParameters(operation, request), ...checkUnknownQuery(operation, request.url), ...checkBody(operation, request)];
}

function checkParameters(operation: PlacedOperation, request: SentRequest): readonly string[] {
  return listParameters(document, operation).flatMap(([pointer, parameter]) => {
    const text = readParameter(operation, parameter, request);
    if (text === null) return parameter.required === true ? [`${parameter.name} is missing`] : [];
    const isInteger = /^[+-]?\d+$/.test(text) && parameter.in !== 'header';
    return checkSchema(`${pointer}/schema`, isInteger ? readJson(text) : text).map((problem) => `${parameter.name}: ${problem}`);
  });
}

function readParameter(operation: PlacedOperation, parameter: OpenApiParameter, { url, headers }: SentRequest): string | null {
  if (parameter.in === 'header') return headers.get(parameter.name);
  if (parameter.in === 'query') return url.searchParams.get(parameter.name);
  const fromEnd = operation.path.split('/').toReversed().indexOf(`{${parameter.name}}`);
  return decodeURIComponent(url.pathname.split('/').toReversed()[fromEnd] ?? '');
}

function checkUnknownQuery(operation: PlacedOperation, url: URL): readonly string[] {
  const known = listParameters(document, operation).map(([, { name }]) => name);
  return [...url.searchParams.keys()].filter((name) => !known.includes(name)).map((name) => `unknown parameter ${name}`);
}

function checkBody(operation: PlacedOperation, { body }: SentRequest): readonly string[] {
  if (operation.requestBody === undefined) return body === '' ? [] : ['there is a body'];
  if (body === '') return operation.requestBody.required ? ['the body is missing'] : [];
  const place = `#/paths/${escapePointer(operation.path)}/${operation.method.toLowerCase()}`;
  return checkSchema(`${place}/requestBody/content/application~1json/schema`, readJson(body));
}
