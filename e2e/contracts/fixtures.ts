import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Folder of the language-neutral fixtures; `OVERSYNC_CONTRACTS` points elsewhere. */
export const CONTRACTS_FOLDER =
  process.env['OVERSYNC_CONTRACTS'] ?? fileURLToPath(new URL('../../../shared/contracts', import.meta.url));

/** False where the fixtures are absent: the suites are then skipped, with a notice. */
export const hasContracts = existsSync(CONTRACTS_FOLDER);

// Whoever names a folder wants it to be run: a slip of the pen must not look like success.
if (!hasContracts && process.env['OVERSYNC_CONTRACTS'] !== undefined) {
  throw new Error(`OVERSYNC_CONTRACTS names a folder that does not exist: ${CONTRACTS_FOLDER}`);
}

if (!hasContracts) console.warn(`contract fixtures skipped: ${CONTRACTS_FOLDER} does not exist`);

export interface FixtureFile {
  readonly name: string;
  readonly path: string;
  readonly content: unknown;
}

/** Every JSON file directly inside one folder of the fixtures, sorted by name; empty when the fixtures are absent. */
export function loadFixtures(folder: string): readonly FixtureFile[] {
  const full = join(CONTRACTS_FOLDER, folder);
  if (!existsSync(full)) return [];
  return readdirSync(full)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => ({ name, path: join(full, name), content: JSON.parse(readFileSync(join(full, name), 'utf8')) as unknown }));
}
