/** Reads the code of the server guides: every block marked `ts run`. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Folder of the repository. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const FOLDER = join(ROOT, 'docs', 'guides', 'server');

/** One block: what it imports, and the statements below. */
export interface GuideBlock {
  readonly imports: string;
  readonly body: string;
}

/** Names of the guides of the folder, without the index. */
export function listGuides(): readonly string[] {
  return globSync('*.md', { cwd: FOLDER })
    .map((file) => file.replace(/\.md$/, ''))
    .filter((name) => name !== 'README')
    .sort();
}

export function readGuide(guide: string): string {
  return readFileSync(join(FOLDER, `${guide}.md`), 'utf8');
}

export function readBlocks(guide: string): readonly GuideBlock[] {
  return findBlocks(readGuide(guide));
}

export function findBlocks(text: string): readonly GuideBlock[] {
  return [...text.matchAll(/^```ts run\n([\s\S]*?)^```$/gm)].map((match) => splitBlock(match[1] ?? ''));
}

function splitBlock(code: string): GuideBlock {
  const imports = /^(?:\/\/ .*\n)?(?:import [^;]*;\n)*/.exec(code)?.[0] ?? '';
  return { imports, body: code.slice(imports.length) };
}

/** What a page says that its code prints: the blocks of text behind the word `prints`. */
export function findOutput(text: string): string {
  return [...text.matchAll(/^prints\n\n```text\n([\s\S]*?)^```$/gm)].map((match) => match[1] ?? '').join('');
}

/** Names and modules of the value imports of a block, a default one as `default as name`; types vanish. */
export function listImports(imports: string): readonly { readonly names: readonly string[]; readonly from: string }[] {
  return [...imports.matchAll(/^import (?!type )(?:\{([^}]*)\}|(\w+)) from '([^']+)';$/gm)].map(
    ([, names = '', defaultName, from = '']) => ({
      names: defaultName === undefined ? names.split(',').map((name) => name.trim()) : [`default as ${defaultName}`],
      from,
    }),
  );
}
