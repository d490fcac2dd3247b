/** Compiles the code of guides as a reader's own compiler would. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { ROOT } from './guide-blocks.ts';

const COMPILER = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');

/** What the compiler says about a folder that holds these files, next to `knownTypes`: declarations of what the code finds. */
export function compileGuides(files: ReadonlyMap<string, string>, knownTypes: string): string {
  // Inside node_modules the packages are found, and nobody else looks at the files.
  const folder = mkdtempSync(join(ROOT, 'node_modules', '.guides-'));
  try {
    for (const [name, code] of files) writeFileSync(join(folder, name), code);
    writeFileSync(join(folder, 'known.d.ts'), knownTypes);
    const options = { noEmit: true, noUnusedLocals: false, types: ['node'], typeRoots: [join(ROOT, 'node_modules', '@types')] };
    const config = {
      extends: join(ROOT, 'tsconfig.base.json'),
      compilerOptions: options,
      files: ['known.d.ts', ...files.keys()],
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
    execFileSync(process.execPath, [COMPILER, '-p', folder], { cwd: folder, stdio: 'pipe' });
    return '';
  } catch (error) {
    return error instanceof Error && 'stdout' in error ? findOwnFaults(String(error.stdout)) : String(error);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Faults of the blocks; those of the packages are the affair of `npm run types`. */
function findOwnFaults(output: string): string {
  return output
    .split('\n')
    .filter((line) => /^[\w-]+\.ts\(/.test(line))
    .join('\n');
}
