import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { expect, test } from 'vitest';

import { MAINTENANCE_DEFAULTS, OPTION_DEFAULTS, WATCH_DEFAULTS } from './limits.ts';

/** First two cells of the rows of all tables of a guide: names of options, and their defaults. */
function readDefaults(guide: string): ReadonlyMap<string, string> {
  const text = readFileSync(fileURLToPath(new URL(`../../../docs/guides/server/${guide}.md`, import.meta.url)), 'utf8');
  const rows = [...text.matchAll(/^\| (`[^|]*`) \| ([^|]*) \|/gm)];
  return new Map(
    rows.flatMap(([, names = '', values = '']) => {
      const each = values.endsWith(' each') ? [values.slice(0, -' each'.length)] : values.split(', ');
      return names.split(', ').map((name, index) => [name.slice(1, -1), each[index] ?? each[0] ?? ''] as const);
    }),
  );
}

function formatDefaults(defaults: Readonly<Record<string, number | string | boolean>>): readonly (readonly [string, string])[] {
  return Object.entries(defaults).map(([name, value]) => [
    name,
    typeof value === 'number' ? value.toLocaleString('en-US') : `\`${String(value)}\``,
  ]);
}

test.each([
  ['limits', OPTION_DEFAULTS],
  ['watch', WATCH_DEFAULTS],
  ['retention', MAINTENANCE_DEFAULTS],
])('the guide %s has every option with its default', (guide, defaults) => {
  const said = readDefaults(guide);
  expect(Object.keys(defaults).map((name) => [name, said.get(name)])).toEqual(formatDefaults(defaults));
});
