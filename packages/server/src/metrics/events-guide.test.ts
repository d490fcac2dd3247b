import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { expect, test } from 'vitest';

import { SAMPLE_EVENTS } from './test-events.ts';

const guide = readFileSync(fileURLToPath(new URL('../../../../docs/guides/server/events.md', import.meta.url)), 'utf8');

test('the guide to events names every event and no other', () => {
  const rows = [...guide.matchAll(/^\| (`[^|]*`) \|/gm)].map(([, names = '']) => names);
  const named = rows.flatMap((names) => names.split(', ').map((name) => name.slice(1, -1)));
  expect(named.sort()).toEqual(Object.keys(SAMPLE_EVENTS).sort());
});
