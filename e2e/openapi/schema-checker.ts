import { Ajv2020 } from 'ajv/dist/2020.js';

import type { OpenApiDocument } from './document.ts';

const DOCUMENT_ID = 'openapi.json';

/** Says what is wrong with a value; an empty list when nothing is. */
export type SchemaChecker = (pointer: string, value: unknown) => readonly string[];

/** Checks values against any schema of the document, by JSON pointer (`#/components/schemas/PullPage`). */
export function createSchemaChecker(document: OpenApiDocument): SchemaChecker {
  const ajv = new Ajv2020({ strict: false, allErrors: true, formats: { int64: true } });
  ajv.addSchema(document, DOCUMENT_ID);
  return (pointer, value) => {
    const validate = ajv.getSchema(`${DOCUMENT_ID}${pointer}`);
    if (validate === undefined) throw new Error(`${pointer} is not in the document`);
    if (validate(value) === true) return [];
    return (validate.errors ?? []).map(
      ({ instancePath, message = '', params }) => `${instancePath} ${message} ${JSON.stringify(params)}`,
    );
  };
}
