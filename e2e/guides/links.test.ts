import { existsSync, globSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { expect, test } from 'vitest';

import { ROOT } from './guide-blocks.ts';

/** Every page of the repository. */
const PAGES = globSync(['*.md', 'docs/**/*.md', 'packages/*/*.md', 'examples/*/*.md', 'bench/*.md'], { cwd: ROOT }).sort();

/** A link to a place of the repository, with the page that it stands on. */
interface Link {
  readonly page: string;
  readonly path: string;
  readonly anchor: string;
}

function listLinks(page: string): readonly Link[] {
  const prose = readFileSync(join(ROOT, page), 'utf8').replaceAll(/^```[\s\S]*?^```$/gm, '');
  return [...prose.matchAll(/\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)/g)].map(([, path = '', anchor = '']) => ({
    page,
    path,
    anchor,
  }));
}

function leadsSomewhere({ page, path, anchor }: Link): boolean {
  const target = path === '' ? join(ROOT, page) : join(ROOT, dirname(page), path);
  if (!existsSync(target)) return false;
  return anchor === '' || (statSync(target).isFile() && listAnchors(readFileSync(target, 'utf8')).includes(anchor));
}

/** Anchors as the usual viewers make them from headings. */
function listAnchors(text: string): readonly string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map(
    ([, title = '']) =>
      `#${title
        .toLowerCase()
        .replaceAll(/[^\w\- ]/g, '')
        .replaceAll(' ', '-')}`,
  );
}

test('links from page to page, and to files, lead somewhere', () => {
  const links = PAGES.flatMap(listLinks);
  expect(links.length).toBeGreaterThan(50);
  expect(links.filter((link) => !leadsSomewhere(link))).toEqual([]);
});

test('files that decisions name as their evidence exist', () => {
  const named = PAGES.filter((page) => page.startsWith('docs/adr/')).flatMap((page) => {
    const evidence = readFileSync(join(ROOT, page), 'utf8').split(/^## Evidence$/m)[1] ?? '';
    return [...evidence.matchAll(/`((?:packages|examples|e2e|scripts|bench)\/[^`*]+)`/g)].map(([, file = '']) => ({
      page,
      file,
    }));
  });
  expect(named.length).toBeGreaterThan(5);
  expect(named.filter(({ file }) => !existsSync(join(ROOT, file)))).toEqual([]);
});
