import { defineConfig } from 'vitest/config';

import { SummaryReporter } from './scripts/vitest-summary-reporter.ts';

export default defineConfig({
  resolve: { conditions: ['oversync-source'] },
  ssr: { resolve: { conditions: ['oversync-source'] } },
  test: {
    include: [
      'packages/*/src/**/*.test.ts',
      'examples/*/src/**/*.test.ts',
      'tools/*/src/**/*.test.ts',
      'e2e/**/*.test.ts',
      'bench/src/**/*.test.ts',
      'scripts/**/*.test.ts',
    ],
    globalSetup: ['tools/dev-postgres/src/vitest-global-setup.ts'],
    reporters: ['default', new SummaryReporter()],
    pool: 'forks',
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
