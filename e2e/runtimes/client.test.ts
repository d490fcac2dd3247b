import { expect, test } from 'vitest';

import { DRIVER_NAMES, runClient } from './client.ts';

test.each(DRIVER_NAMES)('[T119] what is run on other runtimes holds on Node with %s', async (driver) => {
  const lines: string[] = [];
  expect(await runClient(driver, (line) => lines.push(line))).toEqual([]);
  expect(lines).toHaveLength(4);
});
