/** Compiles the code of the server guides as a reader's own compiler would. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { findBlocks, listGuides, readBlocks, ROOT } from './guide-blocks.ts';
import { KNOWN_TYPES } from './run-guide.ts';

const COMPILER = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');

/** What the compiler says about a folder that holds one file for each block. */
function compile(files: ReadonlyMap<string, string>): string {
  // Inside node_modules the packages are found, and nobody else looks at the files.
  const folder = mkdtempSync(join(ROOT, 'node_modules', '.guides-'));
  try {
    for (const [name, code] of files) writeFileSync(join(folder, name), code);
    writeFileSync(join(folder, 'known.d.ts'), KNOWN_TYPES);
    const options = { noEmit: true, noUnusedLocals: false, types: ['node'], typeRoots: [join(ROOT, 'node_modules', '@types')] };
    const config = {
      extends: join(ROOT, 'tsconfig.base.json'),
      compilerOptions: options,
      files: ['known.d.ts', ...files.keys()],
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
    execFileSync(process.execPath, [COMPILER, '-p', folder], { cwd: folder, stdio: 'pipe' });
    return '';
  } catch (error) {
    return error instanceof Error && 'stdout' in error ? findOwnFaults(String(error.stdout)) : String(error);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Faults of the blocks; those of the packages are the affair of `npm run types`. */
function findOwnFaults(output: string): string {
  return output
    .split('\n')
    .filter((line) => /^[\w-]+\.ts\(/.test(line))
    .join('\n');
}

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
  expect(compile(files)).toBe('');
  expect(compile(new Map([['wrong.ts', toModule('', 'await server.bootstrapp();\n')]]))).toContain("'bootstrapp' does not exist");
});
