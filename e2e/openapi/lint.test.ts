import { createConfig, lintFromString } from '@redocly/openapi-core';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

import { formatDocument } from '../../scripts/openapi/document.ts';
import { VOCABULARY } from '../../scripts/openapi/vocabulary.ts';
import { DOCUMENT_PATH } from './document.ts';

test('[D1] docs/openapi.json is what the validators and the error table of today give', () => {
  expect(readFileSync(DOCUMENT_PATH, 'utf8') === formatDocument(), 'stale: run `npm run openapi`').toBe(true);
});

test('the document breaks none of the recommended rules', async () => {
  const config = await createConfig({ extends: ['recommended'] });
  const problems = await lintFromString({ source: readFileSync(DOCUMENT_PATH, 'utf8'), absoluteRef: DOCUMENT_PATH, config });
  expect(problems.map(({ ruleId, message, location }) => [ruleId, message, location[0]?.pointer])).toStrictEqual([]);
});

test('the lint sees a fault', async () => {
  const config = await createConfig({ extends: ['recommended'] });
  const broken = formatDocument().replace('"operationId": "pull"', '"operationId": "connect"');
  const problems = await lintFromString({ source: broken, absoluteRef: DOCUMENT_PATH, config });
  expect(problems.map(({ ruleId }) => ruleId)).toContain('operation-operationId-unique');
});

test('every explanation of a member is used', () => {
  const document = formatDocument();
  const unused = Object.values(VOCABULARY).filter((description) => !document.includes(JSON.stringify(description)));
  expect(unused).toStrictEqual([]);
});
