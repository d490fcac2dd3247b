/** `npm run build`: compiles the published packages into their `dist`, each after those whose types it reads. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';

import { PUBLISHED_PACKAGES, ROOT, run } from './run.ts';

for (const name of PUBLISHED_PACKAGES) rmSync(join(ROOT, 'packages', name, 'dist'), { recursive: true, force: true });
for (const name of PUBLISHED_PACKAGES) {
  run('tsc', ['-p', join('packages', name, 'tsconfig.build.json')]);
  console.log(`built packages/${name}/dist`);
}
