import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { ROOT } from './run.ts';

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'oversync-lint-'));
  cpSync(join(ROOT, '.oxlintrc.json'), join(folder, '.oxlintrc.json'));
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** Whether the lint configuration refuses that the file at `path` imports `specifier`. */
function isRefused(path: string, specifier: string): boolean {
  const file = join(folder, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `import { thing } from '${specifier}';\nexport const other = thing;\n`);
  const result = spawnSync(join(ROOT, 'node_modules', '.bin', 'oxlint'), [path], { cwd: folder, encoding: 'utf8' });
  rmSync(file);
  if (!result.stdout.includes('Finished')) throw new Error(`oxlint failed: ${result.stdout}${result.stderr}`);
  return result.stdout.includes('no-restricted-imports');
}

describe('the import boundaries', () => {
  it.each([
    ['packages/protocol/src/ids.ts', '@oversync/client'],
    ['packages/client/src/engine/push.ts', '@oversync/server'],
    ['packages/server/src/http/routes.ts', '@oversync/client'],
    ['packages/client/src/push.test.ts', '@oversync/server'],
    ['packages/client/src/drivers/node-sqlite.ts', '@oversync/server'],
    ['packages/client/src/rules/retry.ts', '../engine/engine.ts'],
    ['packages/client/src/rules/retry.ts', '../store/local-store.ts'],
    ['packages/client/src/machines/loop.ts', '../store/local-store.ts'],
    ['packages/client/src/ports/clock.ts', '../engine/engine.ts'],
    ['packages/server/src/store/metadata.sql.ts', '../engine/context.ts'],
    ['packages/server/src/engine/pull.ts', '../drivers/pg.ts'],
    ['packages/client/src/engine/automatic/loop.ts', '../../drivers/node-sqlite.ts'],
    ['packages/server/src/engine/pull.ts', 'node:zlib'],
    ['packages/protocol/src/hash/sha256.ts', 'node:crypto'],
  ])('refuse that %s imports %s', (path, specifier) => {
    expect(isRefused(path, specifier)).toBe(true);
  });

  it.each([
    ['packages/client/src/engine/push.ts', '@oversync/protocol'],
    ['packages/client/src/engine/push.ts', '../store/local-store.ts'],
    ['packages/client/src/store/local-store.ts', '../rules/local-schema.ts'],
    ['packages/client/src/store/local-store.ts', '../ports/sqlite-driver.ts'],
    ['packages/server/src/drivers/pg.ts', 'node:net'],
    ['packages/server/src/adapters/node.ts', 'node:http'],
    ['packages/server/src/engine/pull.pg.test.ts', 'node:crypto'],
    ['packages/server/src/engine/pull.pg.test.ts', '../drivers/pg.ts'],
    ['e2e/story.test.ts', '@oversync/server'],
  ])('let %s import %s', (path, specifier) => {
    expect(isRefused(path, specifier)).toBe(false);
  });
});
