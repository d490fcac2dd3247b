/** `npm run openapi`: writes `docs/openapi.json` from the validators, the error table and the table of operations. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { formatDocument } from './openapi/document.ts';
import { ROOT } from './run.ts';

const path = join(ROOT, 'docs', 'openapi.json');
writeFileSync(path, formatDocument());
console.log(`wrote ${path}`);
