import { defineConfig } from 'vitest/config';

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
    ],
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
