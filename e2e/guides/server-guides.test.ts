/** Runs the code of the server guides, and holds the guides together. */
import { expect, test } from 'vitest';

import { findOutput, listGuides, readBlocks, readGuide } from './guide-blocks.ts';
import { runGuide } from './run-guide.ts';

/** Pages whose code is that of the examples, quoted word for word and run by tests there. */
const QUOTED = ['adapters', 'authentication'];

test.each(listGuides().filter((guide) => !QUOTED.includes(guide)))(
  'the code of %s runs and prints what the page says',
  async (guide) => {
    const said = findOutput(readGuide(guide));
    expect(said).not.toBe('');
    expect(`${(await runGuide(guide)).join('\n')}\n`).toBe(said);
  },
);

test('every page has code that runs, but for those that quote the examples', () => {
  expect(listGuides().filter((guide) => readBlocks(guide).length === 0)).toEqual(QUOTED);
});

test('the index leads to every page', () => {
  expect(listGuides().filter((guide) => !readGuide('README').includes(`(${guide}.md)`))).toEqual([]);
});
