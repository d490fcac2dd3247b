/** Runs the beginning that the README shows: its server and its devices, on a database and a port of their own. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { format } from 'node:util';

import { createTestDatabase } from '@oversync/dev-postgres/testing';
import { expect, test } from 'vitest';

import { findBlocks, findOutput, ROOT } from './guide-blocks.ts';
import { runBlock } from './run-guide.ts';

const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');

async function findFreePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  if (typeof address !== 'object' || address === null) throw new Error('no port is free');
  return address.port;
}

test('the server and the devices of the README run and print what it says', async () => {
  const [testDatabase, port] = await Promise.all([createTestDatabase(), findFreePort()]);
  const folder = mkdtempSync(join(tmpdir(), 'oversync-readme-'));
  const printed: string[] = [];
  const atEnd: (() => Promise<void>)[] = [];
  const known = {
    process: {
      env: { DATABASE_URL: testDatabase.url },
      once: (_signal: string, stop: () => Promise<void>) => atEnd.push(stop),
    },
    console: { log: (...values: unknown[]) => printed.push(format(...values)) },
  };
  const adapt = (body: string): string =>
    body.replaceAll('8080', String(port)).replaceAll(/'(phone|laptop)\.db'/g, (_text, name) => `'${join(folder, `${name}.db`)}'`);
  try {
    for (const { imports, body } of findBlocks(readme)) await runBlock({ imports, body: adapt(body) }, known);
    expect(`${printed.join('\n')}\n`).toBe(findOutput(readme));
  } finally {
    for (const stop of atEnd) await stop();
    await testDatabase.drop();
    rmSync(folder, { recursive: true, force: true });
  }
});
