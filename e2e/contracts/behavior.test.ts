import { describe, expect, it } from 'vitest';

import { hasContracts, loadFixtures } from './fixtures.ts';
import { asArray, asObject, asString } from './json.ts';
import { hasSteps, runCase } from './runner/run-case.ts';

/** Folders of cases with steps, and the items of the conformance list that they show. */
const FOLDERS = {
  'push/behavior': '[T42] [T44] [T48] [T51] [T52] [T53] [T54] [T55] [T57] [T58] [T60]',
  'pull-snapshot/behavior': '[T75] [T88] [T89] [T90] [T95] [T100]',
  'lifecycle/behavior': '[T32] [T34] [T35] [T37] [T39] [T59] [T96] [T103]',
  'runtime-state/transitions': '[T42] [T59] [T82]',
} as const;

describe.skipIf(!hasContracts)('behaviour fixtures', () => {
  for (const [folder, ids] of Object.entries(FOLDERS)) {
    for (const { name, content } of loadFixtures(folder)) {
      const { formatVersion, cases } = asObject(content);
      const entries = asArray(cases).map(asObject);

      it(`${folder}/${name} is of the format that the runner reads`, () => {
        expect(formatVersion).toBe(1);
        expect(entries.length).toBeGreaterThan(0);
        expect(entries.every(hasSteps)).toBe(true);
      });

      it.each(entries.map((entry) => ({ name: asString(entry['name']), entry })))(
        `${ids} ${folder}/${name}: $name`,
        async ({ entry }) => {
          expect(await runCase(entry)).toBe(asArray(entry['steps']).length);
        },
      );
    }
  }
});
