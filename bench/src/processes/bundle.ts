import { fileURLToPath } from 'node:url';

import { rolldown } from 'rolldown';

/** Bundles of the processes under test; written again by each run. */
const FOLDER = fileURLToPath(new URL('../../../.oversync/bench-bundles/', import.meta.url));

/** What stays a package of its own, as in an app: everything from outside this repository. */
function isForeign(specifier: string): boolean {
  return !specifier.startsWith('.') && !specifier.startsWith('/') && !specifier.startsWith('@oversync/');
}

/**
 * Makes one file of a module of this folder, as most apps are deployed, and returns its path. Loaded one by one the sources take some
 * 20 MB more for as long as the process lives: Node keeps about 60 KB for each module.
 */
export async function bundleProcess(module: string): Promise<string> {
  const input = fileURLToPath(new URL(`./${module}`, import.meta.url));
  const file = `${FOLDER}${module.replace(/\.ts$/, '.mjs')}`;
  const bundle = await rolldown({
    input,
    platform: 'node',
    external: isForeign,
    resolve: { conditionNames: ['oversync-source', 'node', 'import'] },
  });
  try {
    await bundle.write({ file, format: 'esm', codeSplitting: false });
  } finally {
    await bundle.close();
  }
  return file;
}
