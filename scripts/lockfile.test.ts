import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { ROOT } from './run.ts';

interface LockEntry {
  readonly version?: string;
  readonly gypfile?: boolean;
  readonly resolved?: string;
}

const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
  readonly packages: Readonly<Record<string, LockEntry>>;
};

describe('the lockfile', () => {
  it('keeps npm from compiling better-sqlite3, which brings its binaries: a clean machine has no compiler', () => {
    // npm forgets this line of the package when it installs from a lockfile. After `npm install` rewrote the lockfile, add it again.
    expect(packages['node_modules/better-sqlite3']?.gypfile).toBe(false);
  });

  it('names no registry, so that it works with any', () => {
    const hosts = Object.values(packages).map((entry) => entry.resolved ?? '');
    expect(hosts.filter((resolved) => resolved.startsWith('http'))).toEqual([]);
  });
});
