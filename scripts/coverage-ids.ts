/**
 * `npm run coverage:ids`: which required behaviours have no test whose title carries their id (`[T42] …`). Exit code 1 when any is
 * missing. A skipped test does not count.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { capture, ROOT } from './run.ts';

/** Families of ids with their highest number: invariants of ARCHITECTURE.md (I), the client's improvements (K) and conformance list (T), the server's list (the others). */
const FAMILIES = { I: 17, K: 44, T: 121, C: 12, E: 8, P: 12, S: 7, O: 9, D: 1 } as const;

const ID_PREFIX = /(['"`])((?:\[[A-Z]\d+\]\s*)+)/g;
const SKIPPED = /\b(?:it|test|describe)\.(?:skip|todo)\b/;

const required = Object.entries(FAMILIES).flatMap(([family, last]) =>
  Array.from({ length: last }, (_, index) => `${family}${index + 1}`),
);
const covered = new Set(listTestFiles().flatMap((file) => findIds(readFileSync(join(ROOT, file), 'utf8'))));
const missing = required.filter((id) => !covered.has(id));
const unknown = [...covered].filter((id) => !required.includes(id));

for (const family of Object.keys(FAMILIES)) {
  const ids = missing.filter((id) => id.startsWith(family));
  const all = required.filter((id) => id.startsWith(family)).length;
  console.log(`${family}: ${all - ids.length} of ${all} have a test${ids.length === 0 ? '' : `; missing: ${ids.join(' ')}`}`);
}
if (unknown.length > 0) console.log(`unknown ids in test titles: ${unknown.join(' ')}`);
console.log(`${required.length - missing.length} of ${required.length} ids have a test`);
process.exitCode = missing.length + unknown.length === 0 ? 0 : 1;

function listTestFiles(): readonly string[] {
  const listed = capture('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.test.ts']);
  return listed.split('\n').filter((path) => path !== '');
}

function findIds(source: string): readonly string[] {
  return source
    .split('\n')
    .filter((line) => !SKIPPED.test(line))
    .flatMap((line) => [...line.matchAll(ID_PREFIX)])
    .flatMap((match) => (match[2] ?? '').match(/[A-Z]\d+/g) ?? []);
}
