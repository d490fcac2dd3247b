/** Compiles the code of the server guides as a reader's own compiler would. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { compileGuides } from './compile-guides.ts';
import { findBlocks, listGuides, readBlocks, ROOT } from './guide-blocks.ts';
import { KNOWN_TYPES } from './run-guide.ts';

function toModule(imports: string, body: string): string {
  return `${imports}export async function run(): Promise<void> {\n${body}}\n`;
}

test('the code of every guide compiles under strict rules, and a fault in it would be found', () => {
  const pages = [
    { name: 'readme', blocks: findBlocks(readFileSync(join(ROOT, 'README.md'), 'utf8')) },
    ...listGuides().map((name) => ({ name, blocks: readBlocks(name) })),
  ];
  const files = new Map(
    pages.flatMap(({ name, blocks }) =>
      blocks.map(({ imports, body }, index) => [`${name}-${String(index + 1)}.ts`, toModule(imports, body)] as const),
    ),
  );
  expect(files.size).toBeGreaterThan(10);
  expect(compileGuides(files, KNOWN_TYPES)).toBe('');
  const wrong = new Map([['wrong.ts', toModule('', 'await server.bootstrapp();\n')]]);
  expect(compileGuides(wrong, KNOWN_TYPES)).toContain("'bootstrapp' does not exist");
});
