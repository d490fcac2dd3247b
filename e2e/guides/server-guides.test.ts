/** Runs the code of the server guides, and holds the guides together. */
import { expect, test } from 'vitest';

import { listGuides, readBlocks, readGuide } from './guide-blocks.ts';
import { runGuide } from './run-guide.ts';

test.each([
  ['adoption', ['2 scopes, 2 rows']],
  ['admin', ['nothing to repair', 'clients of older checkpoints rebuild; history goes on from 1000001']],
  ['drivers', ['true', 'true', '1']],
  ['evolution', []],
  ['faults', ['exec_write 55P03', 'service_unavailable retry 1000', '3']],
  [
    'lifecycle',
    [
      '503 running false',
      '200 running true',
      'oversync_read_rows_total{kind="pull"} 2',
      'a stream ended: shutdown',
      '503 closed false',
      'true',
      'true',
    ],
  ],
  ['retention', ['409 history_pruned', '200 2 bundles', '6']],
  ['writes', ['2 1', 'false true', 'true']],
])('the code of the guide %s runs and prints what it says', async (guide, printed) => {
  expect(await runGuide(guide)).toEqual(printed);
});

/** Guides that say in a block of text what the code before it prints. */
const WITH_OUTPUT = ['bootstrap', 'capture', 'limits', 'openapi', 'reference-servers', 'watch'];

test.each(WITH_OUTPUT)('the code of the guide %s runs and prints what the page says', async (guide) => {
  const said = [...readGuide(guide).matchAll(/^prints\n\n```text\n([\s\S]*?)^```$/gm)].map((match) => match[1] ?? '').join('');
  expect(said).not.toBe('');
  expect(`${(await runGuide(guide)).join('\n')}\n`).toBe(said);
});

/** Pages whose code is that of the examples, quoted word for word and run by tests there. */
const QUOTED = ['adapters', 'authentication'];

test('every guide of the server has code that runs, and the index leads to it', () => {
  const withoutCode = listGuides().filter((guide) => readBlocks(guide).length === 0);
  expect(withoutCode).toEqual(QUOTED);
  expect(listGuides().filter((guide) => !readGuide('README').includes(`(${guide}.md)`))).toEqual([]);
});
