/** Runs the code of the server guides, and holds the guides together. */
import { expect, test } from 'vitest';

import { findOutput, listGuides, readGuide } from './guide-blocks.ts';
import { runGuide } from './run-guide.ts';

test.each(listGuides())('the code of %s runs and prints what the page says', async (guide) => {
  const said = findOutput(readGuide(guide));
  expect(said).not.toBe('');
  expect(`${(await runGuide(guide)).join('\n')}\n`).toBe(said);
});

test('the index leads to every page', () => {
  expect(listGuides().filter((guide) => !readGuide('README').includes(`(${guide}.md)`))).toEqual([]);
});

test('every page says what it does not do', () => {
  const lacking = listGuides().filter((guide) => !/^## What (it does|they do) not do$/m.test(readGuide(guide)));
  expect(lacking).toEqual([]);
});
