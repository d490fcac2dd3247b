import { describe, expect, it } from 'vitest';

import { createNodeSqliteDriver } from '../drivers/node-sqlite.ts';
import { TestClock } from '../ports/test-clock.ts';
import { createEngine } from './engine.ts';
import { resolveOptions } from './options.ts';
import { retireSnapshotSession } from './snapshot-session.ts';

describe('[T98] the delete of a session', () => {
  it('is given up after 5 s, and only close would have waited for it', async () => {
    const clock = new TestClock();
    const signals: AbortSignal[] = [];
    const engine = createEngine(
      resolveOptions({
        driver: createNodeSqliteDriver(':memory:'),
        baseUrl: 'https://h',
        headers: () => ({}),
        schema: 'main',
        tables: [],
        ports: {
          clock,
          http: (request) => {
            signals.push(request.signal);
            return new Promise<Response>(() => undefined);
          },
        },
      }),
    );
    retireSnapshotSession(engine, 'source-1', 'snapshot-1');
    await new Promise((resolve) => setTimeout(resolve, 0));
    expect(engine.background.size).toBe(1);
    clock.advance(4_999);
    expect(signals[0]?.aborted).toBe(false);
    clock.advance(1);
    await Promise.all(engine.background);
    expect(signals[0]?.aborted).toBe(true);
    expect(engine.background.size).toBe(0);
    expect(clock.timerCount).toBe(0);
  });
});
