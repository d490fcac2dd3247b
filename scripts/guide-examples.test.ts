import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { ROOT } from './run.ts';

/** A code block whose first line is a comment with the path of a file of the examples. */
const QUOTED_BLOCK = /```ts\n\/\/ (examples\/\S+)\n([^]*?)```/g;

const quotes = globSync('docs/guides/**/*.md', { cwd: ROOT }).flatMap((guide) =>
  [...readFileSync(join(ROOT, guide), 'utf8').matchAll(QUOTED_BLOCK)].map(([, file = '', code = '']) => ({ guide, file, code })),
);

describe('code in the guides', () => {
  it('is there', () => {
    expect(quotes.length).toBeGreaterThan(0);
  });

  it.each(quotes)('$guide quotes $file as it is', ({ file, code }) => {
    expect(readFileSync(join(ROOT, file), 'utf8')).toContain(code);
  });
});
