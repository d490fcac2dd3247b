import { describe, expect, it } from 'vitest';

import { parseRetryAfterMs } from '../../packages/client/src/rules/retry-after.ts';
import { isCapacityCode } from '../../packages/client/src/rules/retry.ts';
import { resolveCapacityPolicy } from '../../packages/client/src/rules/options.ts';
import { hasContracts, loadFixtures } from './fixtures.ts';
import { asArray, asObject, asString } from './json.ts';

describe.skipIf(!hasContracts)('[T99] snapshot capacity fixture', () => {
  for (const file of loadFixtures('snapshot-capacity')) {
    const fixture = asObject(file.content);
    const defaults = asObject(fixture['defaults']);

    it(`${file.name}: defaults`, () => {
      expect(resolveCapacityPolicy()).toEqual({
        enabled: defaults['enabled'],
        maxWaitMs: defaults['max_wait_millis'],
        fallbackDelayMs: defaults['fallback_delay_millis'],
        jitterRatio: defaults['positive_jitter_ratio'],
      });
    });

    it.each(asArray(fixture['retry_after_cases']).map(asObject))(
      `${file.name}: Retry-After "$wire"`,
      ({ wire, expected_millis }) => {
        expect(parseRetryAfterMs(asString(wire))).toBe(expected_millis);
      },
    );

    it.each(asArray(fixture['capacity_error_codes']).map(asString))(`${file.name}: %s is waited for`, (code) => {
      expect(isCapacityCode(code)).toBe(true);
    });
  }
});
